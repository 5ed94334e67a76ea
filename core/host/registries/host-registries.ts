// How this host reaches a registry: its own settings, certificates and proxies, merged with what a client sends. What a
// client sends is for the registry itself and never for a mirror, and cannot change which images have to be signed.
import type { ImageReference } from '../../oci/reference.ts'
import type { EndpointAccess, ProxySettings, RegistryAccess } from '../../oci/registry/registry-access.ts'
import type { RegistryDirectory, RegistryRequest, ResolvedAccess } from '../../runtime/registry-directory.ts'
import { readCertificates, systemCertificateFolders } from './certificate-folders.ts'
import { readRegistrySettings, ruleFor, systemRegistriesFile } from './registry-settings.ts'

export interface HostRegistriesOptions {
  readonly settingsFile?: string | undefined
  readonly certificateFolders?: readonly string[] | undefined
  /** Proxies where neither the client nor the settings name any. */
  readonly proxy: ProxySettings
}

export class HostRegistries implements RegistryDirectory {
  readonly #settingsFile: string
  readonly #certificateFolders: readonly string[]
  readonly #proxy: ProxySettings

  constructor(options: HostRegistriesOptions) {
    this.#settingsFile = options.settingsFile ?? systemRegistriesFile
    this.#certificateFolders = options.certificateFolders ?? systemCertificateFolders
    this.#proxy = options.proxy
  }

  /** Throws `host.bad-settings`. */
  async check(): Promise<void> {
    await readRegistrySettings(this.#settingsFile)
  }

  /** Throws `host.bad-settings`, `host.bad-certificates`. */
  async resolve(
    reference: Pick<ImageReference, 'registry' | 'repository'>,
    request: RegistryRequest,
  ): Promise<ResolvedAccess> {
    const settings = await readRegistrySettings(this.#settingsFile)
    const rule = ruleFor(settings, reference)
    const own = await readCertificates(reference.registry, this.#certificateFolders)
    const authorities = [own.certificateAuthority, request.certificateAuthority].filter(isGiven)
    const access: RegistryAccess = {
      credentials: request.credentials,
      plainHttp: request.plainHttp === true || rule?.plainHttp === true,
      certificateAuthority: authorities.length === 0 ? undefined : authorities.join('\n'),
      clientCertificate: request.clientCertificate ?? own.clientCertificate,
      trustedRealms: [...(rule?.trustedRealms ?? []), ...(request.trustedRealms ?? [])],
      foreignLayers: rule?.foreignLayers,
      proxy: request.proxy ?? settings.proxy ?? this.#proxy,
      mirrors: await Promise.all(
        (rule?.mirrors ?? []).map(async (mirror) => ({ ...mirror, ...(await this.#endpoint(mirror.host)) })),
      ),
    }
    return { access, signatures: settings.signatures }
  }

  #endpoint(host: string): Promise<EndpointAccess> {
    return readCertificates(host, this.#certificateFolders)
  }
}

function isGiven(text: string | undefined): text is string {
  return text !== undefined
}
