// The error for a status that a registry answered with: what it said itself, how long it wants to be left alone, and
// whether the same request may succeed a little later.

import { OciError } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import { isTransientStatus, parseRetryAfter, TransientFailure } from './backoff.ts'
import { type HttpResponse, readBody } from './http-client.ts'
import { parseRateLimit } from './rate-limit.ts'

/** Reads the rest of the response. `host` is who answered: the registry, or a store of blobs that it led to. */
export async function failureOf(response: HttpResponse, host: string): Promise<OciError | TransientFailure> {
  if (response.status === 429) return rateLimited(response, host)
  const reason = await readReason(response)
  const error = new OciError(
    'oci.registry',
    `Cannot read from ${host}: it answered ${response.status}${reason}`,
    {
      data: { status: response.status },
    },
  )
  if (!isTransientStatus(response.status)) return error
  return new TransientFailure(error, parseRetryAfter(response.header('retry-after'), Date.now()))
}

/** What a registry says about an error (distribution-spec "Error Codes"; RFC 6749 §5.2), as the end of a sentence. */
export async function readReason(response: HttpResponse): Promise<string> {
  try {
    const body: unknown = JSON.parse(
      (await readBody(response, LIMITS.errorBodyBytes, 'the error')).toString('utf8'),
    )
    const reason = firstMessage(body)
      ?.replace(/\p{Cc}+/gu, ' ')
      .slice(0, 200)
    return reason === undefined || reason === '' ? '' : ` (${reason})`
  } catch (error) {
    // The body only explains; without a readable one the status has to do.
    if (error instanceof SyntaxError || error instanceof OciError || error instanceof TransientFailure)
      return ''
    throw error
  }
}

function firstMessage(body: unknown): string | undefined {
  if (typeof body !== 'object' || body === null) return undefined
  if ('error_description' in body && typeof body.error_description === 'string') return body.error_description
  if ('errors' in body && Array.isArray(body.errors)) return firstMessage(body.errors[0])
  for (const name of ['message', 'details', 'error', 'code']) {
    const value: unknown = name in body ? Reflect.get(body, name) : undefined
    if (typeof value === 'string' && value !== '') return value
  }
  return undefined
}

async function rateLimited(response: HttpResponse, host: string): Promise<TransientFailure> {
  await response.discard()
  const retryAfterMs = parseRetryAfter(response.header('retry-after'), Date.now())
  const retryAt = retryAfterMs === undefined ? undefined : new Date(Date.now() + retryAfterMs).toISOString()
  const figures = parseRateLimit(response)
  const quota = figures === undefined ? '' : ` (${figures.remaining} of ${figures.limit} pulls are left)`
  const error = new OciError(
    'oci.rate-limited',
    `Cannot read from ${host}: it has had too many requests from here${quota}`,
    {
      hint:
        retryAt === undefined
          ? 'Try again later, or log in: many registries allow more then.'
          : `Try again after ${retryAt}.`,
      data: { ...(retryAt === undefined ? {} : { retryAt }), ...figures },
    },
  )
  return new TransientFailure(error, retryAfterMs)
}
