// Proves to a registry who asks: with basic authentication, or with a token from the server that the registry names
// (distribution docs/spec/auth/token.md and oauth.md). Tokens are kept until they run out.

import { z } from 'zod'
import { checkSchema } from '../check-schema.ts'
import { OciError } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import { parseStrictJson } from '../strict-json.ts'
import { isTransientStatus, TransientFailure } from './backoff.ts'
import type { Challenge } from './challenge.ts'
import { type HttpClient, type HttpResponse, readBody } from './http-client.ts'
import { mayReceiveCredentials, parseRealm } from './realm-policy.ts'

/** A user's password or access token, or the identity token that `docker login` was given. */
export type Credentials =
  | { readonly username: string; readonly password: string }
  | { readonly identityToken: string }

export interface AuthorizerOptions {
  /** `https://host:port` of the registry. */
  readonly registry: URL
  readonly credentials?: Credentials | undefined
  /** Hosts of token servers that the user has approved. */
  readonly trustedHosts: readonly string[]
  /** The client for a URL: the registry's own, or the guarded one. */
  readonly clientFor: (url: URL) => HttpClient
}

const tokenSchema = z.object({
  token: z.string().optional(),
  access_token: z.string().optional(),
  expires_in: z.number().optional(),
})

/** distribution's token.md: a token without a time lives for 60 seconds. */
const DEFAULT_LIFETIME_SECONDS = 60
/** Given back early, so that it does not run out on its way. */
const MARGIN_MS = 5_000
/** RFC 9110 §11.6.2 allows more; a header with anything else in it would be refused or split. */
const HEADER_VALUE = /^[\x21-\x7e]+$/

export class Authorizer {
  readonly #options: AuthorizerOptions
  #header: { value: string; expiresAtMs: number } | undefined
  /** A token request under way, for all who wait for it. */
  #pending: Promise<void> | undefined
  /** A token server that was not told the credentials. */
  #withheldFrom: string | undefined

  constructor(options: AuthorizerOptions) {
    this.#options = options
  }

  /** The Authorization header to send, if there is one already. */
  get header(): string | undefined {
    if (this.#header === undefined || Date.now() > this.#header.expiresAtMs) return undefined
    return this.#header.value
  }

  /**
   * Gets what the registry asks for in a 401. `refused` is the header that it did not take, if one was sent.
   * Throws `oci.auth-required`, `oci.auth-failed`, `oci.realm-not-trusted`.
   */
  async answer(
    challenges: readonly Challenge[],
    scope: string,
    refused: string | undefined,
    signal?: AbortSignal,
  ): Promise<void> {
    // Somebody else has got a new one meanwhile.
    if (this.header !== undefined && this.header !== refused) return
    this.#pending ??= this.#answer(challenges, scope, refused, signal).finally(() => {
      this.#pending = undefined
    })
    await this.#pending
  }

  /** The error for a request that was refused although everything was tried. */
  refusal(): OciError {
    const { registry, credentials } = this.#options
    if (this.#withheldFrom !== undefined) {
      return new OciError(
        'oci.realm-not-trusted',
        `Cannot log in to ${registry.host}: it wants the credentials sent to ${this.#withheldFrom}`,
        {
          hint: 'They were not sent. Approve that host if it belongs to the registry.',
          data: { host: this.#withheldFrom },
        },
      )
    }
    return credentials === undefined
      ? new OciError(
          'oci.auth-required',
          `Cannot read from ${registry.host}: it wants a login, or there is no such image`,
          {
            hint: `Give credentials for ${registry.host}, or check the name.`,
          },
        )
      : new OciError(
          'oci.auth-failed',
          `Cannot log in to ${registry.host}: it refused the credentials or this user may not read the image`,
        )
  }

  async #answer(
    challenges: readonly Challenge[],
    scope: string,
    refused: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer')
    if (bearer !== undefined) return this.#fetchToken(bearer, scope, signal)
    const basic = challenges.find(({ scheme }) => scheme === 'basic')
    if (basic === undefined) {
      const offered = challenges.map(({ scheme }) => scheme).join(', ') || 'none'
      throw new OciError(
        'oci.registry',
        `Cannot log in to ${this.#options.registry.host}: it offers no method that is supported (${offered})`,
      )
    }
    const { credentials } = this.#options
    if (credentials === undefined || 'identityToken' in credentials) throw this.refusal()
    const value = basicHeader(credentials)
    if (value === refused) throw this.refusal()
    this.#header = { value, expiresAtMs: Number.POSITIVE_INFINITY }
  }

  async #fetchToken(
    { parameters }: Challenge,
    scope: string,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { registry, credentials, trustedHosts } = this.#options
    const realm = parseRealm(parameters.realm, registry)
    const isTrusted = mayReceiveCredentials(realm, registry, trustedHosts)
    this.#withheldFrom = credentials !== undefined && !isTrusted ? realm.host : undefined
    const sent = isTrusted ? credentials : undefined
    const response = await this.#requestToken(
      realm,
      { service: parameters.service, scope, credentials: sent },
      signal,
    )
    const what = `the answer of the token server ${realm.host}`
    if (response.status === 401 || response.status === 403) {
      await response.discard()
      throw this.refusal()
    }
    if (response.status !== 200) {
      await response.discard()
      const error = new OciError(
        'oci.registry',
        `Cannot log in to ${registry.host}: its token server ${realm.host} answered ${response.status}`,
      )
      throw isTransientStatus(response.status) ? new TransientFailure(error) : error
    }
    const answer = checkSchema(
      tokenSchema,
      parseStrictJson(await readBody(response, LIMITS.tokenBytes, what), what),
      what,
    )
    const token = answer.token ?? answer.access_token
    if (token === undefined || !HEADER_VALUE.test(token)) {
      throw new OciError(
        'oci.registry',
        `Cannot log in to ${registry.host}: its token server ${realm.host} gave no usable token`,
      )
    }
    const lifetimeMs = Math.max(DEFAULT_LIFETIME_SECONDS, answer.expires_in ?? 0) * 1000
    this.#header = { value: `Bearer ${token}`, expiresAtMs: Date.now() + lifetimeMs - MARGIN_MS }
  }

  /** GET with basic authentication or anonymously; POST (OAuth 2) with an identity token. Redirects are not followed. */
  async #requestToken(
    realm: URL,
    {
      service,
      scope,
      credentials,
    }: { service: string | undefined; scope: string; credentials: Credentials | undefined },
    signal: AbortSignal | undefined,
  ): Promise<HttpResponse> {
    const client = this.#options.clientFor(realm)
    const fields = { scope, ...(service === undefined ? {} : { service }) }
    if (credentials !== undefined && 'identityToken' in credentials) {
      const body = new URLSearchParams({
        grant_type: 'refresh_token',
        client_id: 'bulkhead',
        refresh_token: credentials.identityToken,
        ...fields,
      }).toString()
      const headers = { 'content-type': 'application/x-www-form-urlencoded' }
      return client.send(realm, { method: 'POST', headers, body, signal })
    }
    const url = new URL(realm)
    for (const [name, value] of Object.entries(fields)) url.searchParams.set(name, value)
    const headers = credentials === undefined ? undefined : { authorization: basicHeader(credentials) }
    return client.send(url, { method: 'GET', headers: headers ?? {}, signal })
  }
}

function basicHeader({ username, password }: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}
