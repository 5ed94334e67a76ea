// Proves to a registry who asks: with basic authentication, or with a token from the server that the registry names.
// Tokens are kept until they run out, and got again when the registry no longer takes them.

import { hasCode, OciError } from '../errors.ts'
import type { Challenge } from './challenge.ts'
import type { HttpClient } from './http-client.ts'
import { mayReceiveCredentials, parseRealm } from './realm-policy.ts'
import type { Credentials } from './registry-access.ts'
import { basicHeader, requestToken } from './token-request.ts'
import { readOnlyScopes } from './token-scope.ts'

export interface AuthorizerOptions {
  /** `https://host:port` of the registry. */
  readonly registry: URL
  readonly credentials?: Credentials | undefined
  /** Hosts of token servers that the user has approved. */
  readonly trustedHosts: readonly string[]
  /** What tokens are for; undefined for the login alone. */
  readonly scope: string | undefined
  /** The client for a URL: the registry's own, or the guarded one. */
  readonly clientFor: (url: URL) => HttpClient
  /** Milliseconds since 1970. */
  readonly now?: (() => number) | undefined
}

/** A 401 of the registry. */
export interface Demand {
  readonly challenges: readonly Challenge[]
  /** The header that it did not take, if one was sent. */
  readonly refused: string | undefined
  /** Whether that header was got for this very request: if nothing new is asked for, the registry means it. */
  readonly isRepeated: boolean
  readonly signal?: AbortSignal | undefined
}

interface Proof {
  readonly value: string
  readonly expiresAtMs: number
}

/** Given back early, so that it does not run out on its way. */
const MARGIN_MS = 5_000

export class Authorizer {
  readonly #options: AuthorizerOptions
  readonly #scopes: Set<string>
  #proof: Proof | undefined
  /** A token request under way, for all who wait for it. */
  #pending: Promise<void> | undefined
  /** A token server that was not told the credentials. */
  #withheldFrom: string | undefined

  constructor(options: AuthorizerOptions) {
    this.#options = options
    this.#scopes = new Set(options.scope === undefined ? [] : [options.scope])
  }

  /** The Authorization header to send, if there is one already. */
  get header(): string | undefined {
    if (this.#proof === undefined || this.#now() > this.#proof.expiresAtMs) return undefined
    return this.#proof.value
  }

  /** Whether the registry has been shown the credentials, or was asked without them because it named another host. */
  get login(): 'none' | 'anonymous' | 'with-credentials' | 'withheld' {
    if (this.#withheldFrom !== undefined) return 'withheld'
    if (this.#proof === undefined) return 'none'
    return this.#options.credentials === undefined ? 'anonymous' : 'with-credentials'
  }

  /**
   * Gets what the registry asks for in a 401. Throws `oci.auth-required`, `oci.auth-failed`, `oci.realm-not-trusted`,
   * `oci.registry` when it asks for what nobody can give, and what the token request throws.
   */
  async answer(demand: Demand): Promise<void> {
    // Somebody else has got a new one meanwhile.
    if (this.header !== undefined && this.header !== demand.refused) return
    this.#pending ??= this.#answer(demand).finally(() => {
      this.#pending = undefined
    })
    try {
      await this.#pending
    } catch (error) {
      // Who began to ask has left; who waited for it has not.
      if (hasCode(error, 'oci.cancelled') && demand.signal?.aborted !== true) return this.answer(demand)
      throw error
    }
  }

  /** The error for a request that was refused although everything was tried. `reason` ends the sentence. */
  refusal(reason = ''): OciError {
    const { host } = this.#options.registry
    if (this.#withheldFrom !== undefined) {
      return new OciError(
        'oci.realm-not-trusted',
        `Cannot log in to ${host}: it wants the credentials sent to ${this.#withheldFrom}`,
        {
          hint: 'They were not sent. Approve that host if it belongs to the registry.',
          data: { host: this.#withheldFrom },
        },
      )
    }
    const isAboutImage = this.#options.scope !== undefined
    if (this.#options.credentials === undefined) {
      const wish = isAboutImage ? 'it wants a login, or there is no such image' : 'it wants a login'
      return new OciError('oci.auth-required', `Cannot read from ${host}: ${wish}${reason}`, {
        hint: `Give credentials for ${host}${isAboutImage ? ', or check the name' : ''}.`,
        data: { host },
      })
    }
    const complaint = isAboutImage
      ? 'it refused the credentials or this user may not read the image'
      : 'it refused the credentials'
    return new OciError('oci.auth-failed', `Cannot log in to ${host}: ${complaint}${reason}`, {
      data: { host },
    })
  }

  async #answer(demand: Demand): Promise<void> {
    const { challenges, refused } = demand
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer')
    const canUseBasic = this.#basicValue() !== undefined && offersBasic(challenges)
    if (bearer !== undefined) {
      const realm = this.#realmOf(bearer, canUseBasic)
      if (realm !== undefined) return this.#fetchToken(realm, bearer, demand)
    }
    if (!offersBasic(challenges)) throw this.#unsupported(challenges)
    const value = this.#basicValue()
    if (value === undefined || value === refused) throw this.refusal()
    this.#proof = { value, expiresAtMs: Number.POSITIVE_INFINITY }
  }

  /**
   * Where to get a token; undefined where basic authentication with the registry itself is the better way: the token
   * server is none, or may not see the credentials.
   */
  #realmOf({ parameters }: Challenge, canUseBasic: boolean): URL | undefined {
    const { registry, trustedHosts } = this.#options
    try {
      const realm = parseRealm(parameters.realm, registry)
      return canUseBasic && !mayReceiveCredentials(realm, registry, trustedHosts) ? undefined : realm
    } catch (error) {
      if (canUseBasic) return undefined
      throw error
    }
  }

  async #fetchToken(realm: URL, { parameters }: Challenge, { isRepeated, signal }: Demand): Promise<void> {
    const { registry, credentials, trustedHosts, clientFor } = this.#options
    const news = readOnlyScopes(parameters.scope).filter((scope) => !this.#scopes.has(scope))
    if (isRepeated && news.length === 0) throw this.refusal()
    // Servers that go by the scope that they name get it beside ours only when ours was not enough.
    if (isRepeated || this.#scopes.size === 0) for (const scope of news) this.#scopes.add(scope)
    const isTrusted = mayReceiveCredentials(realm, registry, trustedHosts)
    this.#withheldFrom = credentials !== undefined && !isTrusted ? realm.host : undefined
    const token = await requestToken(clientFor(realm), {
      realm,
      service: parameters.service,
      scopes: [...this.#scopes],
      credentials: isTrusted ? credentials : undefined,
      registry: registry.host,
      signal,
    })
    if (token === undefined) {
      throw this.refusal(realm.host === registry.host ? '' : ` (so says its token server ${realm.host})`)
    }
    const expiresAtMs = this.#now() + token.lifetimeSeconds * 1000 - MARGIN_MS
    this.#proof = { value: `Bearer ${token.value}`, expiresAtMs }
  }

  #basicValue(): string | undefined {
    const { credentials } = this.#options
    return credentials === undefined || 'identityToken' in credentials ? undefined : basicHeader(credentials)
  }

  #unsupported(challenges: readonly Challenge[]): OciError {
    const offered = challenges.map(({ scheme }) => scheme).join(', ')
    return new OciError(
      'oci.registry',
      `Cannot log in to ${this.#options.registry.host}: it offers no method that is supported (${offered})`,
    )
  }

  #now(): number {
    return this.#options.now?.() ?? Date.now()
  }
}

/** A server that wants a login and does not say how gets what every server takes. */
function offersBasic(challenges: readonly Challenge[]): boolean {
  return challenges.length === 0 || challenges.some(({ scheme }) => scheme === 'basic')
}
