// How a registry is to be reached: what the user gives with a request, and what the host's settings have for it.

/** A user's password or access token, or the identity token that `docker login` was given. */
export type Credentials =
  | { readonly username: string; readonly password: string }
  | { readonly identityToken: string }

/** What to show to a server that asks for a certificate; PEM text. */
export interface ClientCertificate {
  readonly certificate: string
  readonly key: string
}

/** Addresses of proxies, as `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` have them. */
export interface ProxySettings {
  readonly http?: string | undefined
  readonly https?: string | undefined
  readonly except?: string | undefined
}

/** How one host is spoken to: the registry itself, or a mirror of it. */
export interface EndpointAccess {
  /** Plain HTTP is allowed though the host is not this machine. */
  readonly plainHttp?: boolean | undefined
  /** PEM text of authorities to trust beside the system's. */
  readonly certificateAuthority?: string | undefined
  readonly clientCertificate?: ClientCertificate | undefined
}

/** A server with copies of a registry's repositories: whatever it says is checked by digest. */
export interface MirrorEndpoint extends EndpointAccess {
  /** `host[:port]`. */
  readonly host: string
  /** Put before the repository's name, for servers that mirror several registries: `proxy/docker-io`. */
  readonly prefix?: string | undefined
  /** Asked for digests only, never for what a tag leads to (containers registries.conf `pull-from-mirror`). */
  readonly digestsOnly?: boolean | undefined
}

export interface RegistryAccess extends EndpointAccess {
  /** For the registry itself; mirrors never see them. */
  readonly credentials?: Credentials | undefined
  /** Hosts of token servers that may see the credentials. */
  readonly trustedRealms?: readonly string[] | undefined
  readonly proxy?: ProxySettings | undefined
  /** Asked in this order, before the registry itself. */
  readonly mirrors?: readonly MirrorEndpoint[] | undefined
  /**
   * Layers that a manifest says are kept elsewhere (`urls` of non-distributable layers) may be fetched from there: over
   * HTTPS and without credentials. Not allowed when left out.
   */
  readonly foreignLayers?: boolean | undefined
}
