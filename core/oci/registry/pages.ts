// Lists that a registry gives in pages (distribution-spec "Listing Tags", "Listing Referrers"): each answer may name the
// next in a Link header. That is the registry's word, so it is followed only within the repository that was asked about.

import { OciError } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import { type HttpResponse, readBody } from './http-client.ts'
import { findLink } from './link-header.ts'
import type { RegistryConnection } from './registry-connection.ts'

export interface PagesRequest {
  /** Of the first page, below `/v2/<repository>/`. */
  readonly path: string
  readonly accept: string
  /** Names the list in errors. */
  readonly what: string
  readonly signal: AbortSignal | undefined
}

export interface Page {
  readonly bytes: Buffer
  readonly response: HttpResponse
  readonly isLast: boolean
}

/**
 * Reads page after page. The first has no content (`status` 404 or 405) where the registry has no such list. Throws
 * `oci.limit` on endless lists, `oci.registry` on links elsewhere, and what `RegistryConnection.send` throws.
 */
export async function* readPages(
  connection: RegistryConnection,
  { path, accept, what, signal }: PagesRequest,
): AsyncGenerator<Page, void, void> {
  const seen = new Set<string>()
  let next: string | undefined = path
  while (next !== undefined) {
    if (seen.size >= LIMITS.listPages) {
      throw new OciError('oci.limit', `Cannot read ${what}: it has more than ${LIMITS.listPages} pages`, {
        data: { which: 'listPages' },
      })
    }
    seen.add(next)
    const response = await connection.send({ method: 'GET', path: next, headers: { accept }, signal })
    if (response.status !== 200) {
      await response.discard()
      yield { bytes: Buffer.alloc(0), response, isLast: true }
      return
    }
    const bytes = await readBody(response, LIMITS.listBytes, what)
    next = nextPath(response, connection, { path: next, what })
    if (next !== undefined && seen.has(next))
      throw new OciError('oci.registry', `Cannot read ${what}: its pages on ${connection.host} go in circles`)
    yield { bytes, response, isLast: next === undefined }
  }
}

function nextPath(
  response: HttpResponse,
  connection: RegistryConnection,
  { path, what }: { path: string; what: string },
): string | undefined {
  const target = findLink(response.headers('link'), 'next')
  if (target === undefined) return undefined
  const base = connection.urlOf('')
  const url = URL.parse(target, connection.urlOf(path).href)
  const isInside =
    url !== null &&
    url.origin === base.origin &&
    url.username === '' &&
    url.password === '' &&
    url.pathname.startsWith(base.pathname)
  if (isInside) return `${url.pathname.slice(base.pathname.length)}${url.search}`
  throw new OciError(
    'oci.registry',
    `Cannot read ${what}: the next page should be at ${JSON.stringify(target.slice(0, 200))}, which is not in that repository of ${connection.host}`,
  )
}
