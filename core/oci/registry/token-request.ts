// Gets a token from the server that a registry names (distribution docs/spec/auth/token.md and oauth.md). Redirects are
// not followed: credentials are in the request, and where they may go was decided for this URL alone.

import { z } from 'zod'
import { checkSchema } from '../check-schema.ts'
import { OciError } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import { parseStrictJson } from '../strict-json.ts'
import { isTransientStatus, parseRetryAfter, TransientFailure } from './backoff.ts'
import { type HttpClient, type HttpResponse, readBody } from './http-client.ts'
import type { Credentials } from './registry-access.ts'
import { readReason } from './registry-failure.ts'

export interface TokenRequest {
  readonly realm: URL
  readonly service: string | undefined
  readonly scopes: readonly string[]
  readonly credentials: Credentials | undefined
  /** The registry's host, for errors. */
  readonly registry: string
  readonly signal: AbortSignal | undefined
}

export interface Token {
  readonly value: string
  readonly lifetimeSeconds: number
}

/** Servers write what they like where they have nothing; a refresh token is not asked for, and not read. */
const tokenSchema = z.object({
  token: z.string().nullish(),
  access_token: z.string().nullish(),
  expires_in: z.unknown().optional(),
})

/** distribution's token.md: a token without a time lives for 60 seconds, and none for less. */
const LEAST_LIFETIME_SECONDS = 60
/** RFC 9110 §11.6.2 allows more; a header with anything else in it would be refused or split. */
const HEADER_VALUE = /^[\x21-\x7e]+$/
/** The user name that goes with an identity token where only basic authentication is known (docker's config). */
const IDENTITY_USER = '<token>'
const CLIENT_ID = 'bulkhead'

/**
 * Asks for a token; undefined when the server refuses the credentials. Throws `oci.registry`, `TransientFailure` and the
 * errors of `HttpClient.send`.
 */
export async function requestToken(client: HttpClient, request: TokenRequest): Promise<Token | undefined> {
  const { realm, registry } = request
  const response = await sendInTurn(client, request)
  const fail = (problem: string) =>
    new OciError('oci.registry', `Cannot log in to ${registry}: its token server ${realm.host} ${problem}`)
  if (response.status === 200) return readToken(response, realm, fail)
  if ([400, 401, 403].includes(response.status)) {
    await response.discard()
    return undefined
  }
  const retryAfterMs = parseRetryAfter(response.header('retry-after'), Date.now())
  const error = fail(`answered ${response.status}${await readReason(response)}`)
  throw isTransientStatus(response.status) ? new TransientFailure(error, retryAfterMs) : error
}

/** `Basic …` (RFC 7617). */
export function basicHeader({ username, password }: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

/**
 * Identity tokens are exchanged with POST (OAuth 2), passwords and nothing at all with GET; where a server does not have
 * the one it is asked in the other way, as containerd does.
 */
async function sendInTurn(client: HttpClient, request: TokenRequest): Promise<HttpResponse> {
  const { credentials } = request
  if (credentials === undefined) return sendGet(client, request, undefined)
  const ways =
    'identityToken' in credentials
      ? [
          () =>
            sendPost(client, request, {
              grant_type: 'refresh_token',
              refresh_token: credentials.identityToken,
            }),
          () => sendGet(client, request, { username: IDENTITY_USER, password: credentials.identityToken }),
        ]
      : [
          () => sendGet(client, request, credentials),
          () => sendPost(client, request, { grant_type: 'password', ...credentials }),
        ]
  const [first, second] = ways
  const response = await first?.()
  if (response !== undefined && ![404, 405, 501].includes(response.status)) return response
  await response?.discard()
  if (second === undefined) throw new OciError('oci.internal', 'Cannot log in: no way to ask for a token')
  return second()
}

function sendGet(
  client: HttpClient,
  { realm, service, scopes, signal }: TokenRequest,
  credentials: { username: string; password: string } | undefined,
): Promise<HttpResponse> {
  const url = new URL(realm)
  if (service !== undefined) url.searchParams.set('service', service)
  url.searchParams.delete('scope')
  for (const scope of scopes) url.searchParams.append('scope', scope)
  const headers = credentials === undefined ? {} : { authorization: basicHeader(credentials) }
  return client.send(url, { method: 'GET', headers, signal })
}

function sendPost(
  client: HttpClient,
  { realm, service, scopes, signal }: TokenRequest,
  grant: Readonly<Record<string, string>>,
): Promise<HttpResponse> {
  const body = new URLSearchParams({
    ...grant,
    client_id: CLIENT_ID,
    ...(scopes.length === 0 ? {} : { scope: scopes.join(' ') }),
    ...(service === undefined ? {} : { service }),
  }).toString()
  const headers = { 'content-type': 'application/x-www-form-urlencoded' }
  return client.send(realm, { method: 'POST', headers, body, signal })
}

async function readToken(
  response: HttpResponse,
  realm: URL,
  fail: (problem: string) => OciError,
): Promise<Token> {
  const what = `the answer of the token server ${realm.host}`
  const bytes = await readBody(response, LIMITS.tokenBytes, what)
  const answer = readAnswer(bytes, what, fail)
  const value = answer.token || answer.access_token || ''
  if (!HEADER_VALUE.test(value)) throw fail('gave no usable token')
  const seconds = Number(answer.expires_in ?? 0)
  return {
    value,
    lifetimeSeconds: Math.max(LEAST_LIFETIME_SECONDS, Number.isFinite(seconds) ? seconds : 0),
  }
}

function readAnswer(
  bytes: Buffer,
  what: string,
  fail: (problem: string) => OciError,
): z.infer<typeof tokenSchema> {
  try {
    return checkSchema(tokenSchema, parseStrictJson(bytes, what), what)
  } catch (error) {
    if (error instanceof OciError) throw fail('gave an answer that is no token')
    throw error
  }
}
