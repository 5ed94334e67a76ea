// The tags of a repository, page by page (distribution-spec "Listing Tags").

import { z } from 'zod'
import { checkSchema } from '../check-schema.ts'
import { OciError } from '../errors.ts'
import { familiarName, isTag, parseReference } from '../reference.ts'
import { parseStrictJson } from '../strict-json.ts'
import { DEFAULT_RETRY_POLICY } from './backoff.ts'
import { readPages } from './pages.ts'
import type { RegistryAccess } from './registry-access.ts'
import type { RegistryConnection } from './registry-connection.ts'
import { RepositoryServers, type ServersOptions } from './repository-servers.ts'

export interface TagsRequest extends RegistryAccess {
  /** The name of a repository, as a person writes it. */
  readonly repository: string
  /** The tag after which the list begins. */
  readonly after?: string | undefined
  /** Tags at most. */
  readonly limit: number
}

export interface RemoteTags {
  /** The full name, `docker.io/library/busybox`. */
  readonly repository: string
  readonly tags: string[]
  /** Whether there are more after the last. */
  readonly hasMore: boolean
}

const tagsSchema = z.object({ tags: z.array(z.string()).nullish() })

/**
 * Lists tags in the registry's order. Mirrors are not asked: they know what they have, not what there is. Throws
 * `oci.not-found`, `oci.limit` on endless lists, and the errors of a pull.
 */
export async function listTags(
  { repository, after, limit, ...access }: TagsRequest,
  {
    signal,
    retryPolicy = DEFAULT_RETRY_POLICY,
    ...options
  }: Partial<ServersOptions> & { signal?: AbortSignal | undefined } = {},
): Promise<RemoteTags> {
  const reference = parseReference(repository)
  const name = familiarName(reference)
  const registryOnly = { ...access, mirrors: undefined }
  await using servers = new RepositoryServers(reference, registryOnly, { retryPolicy, ...options })
  const action = `list the tags of ${name}`
  const { tags, hasMore } = await servers.askRegistry(action, {
    by: 'tag',
    signal,
    ask: (connection) => readTags(connection, { name, after, limit, signal }),
  })
  return { repository: servers.name, tags, hasMore }
}

async function readTags(
  connection: RegistryConnection,
  { name, after, limit, signal }: TagsQuery,
): Promise<{ tags: string[]; hasMore: boolean }> {
  const what = `the tags of ${name}`
  const query = new URLSearchParams({ n: String(limit), ...(after === undefined ? {} : { last: after }) })
  const request = { path: `tags/list?${query}`, accept: 'application/json', what, signal }
  const found: string[] = []
  for await (const { bytes, response, isLast } of readPages(connection, request)) {
    if (response.status !== 200) {
      throw new OciError('oci.not-found', `There is no repository "${name}" on ${connection.host}`, {
        hint: 'Check its name.',
        data: { where: connection.host },
      })
    }
    const tags = checkSchema(tagsSchema, parseStrictJson(bytes, what), what).tags ?? []
    // Careful: some registries ignore `last` and begin at the beginning, others ignore `n` and give everything.
    const start = after === undefined ? 0 : tags.indexOf(after) + 1
    if (start > 0) found.length = 0
    // What is no tag cannot be asked for, and could do harm on a terminal.
    found.push(...tags.slice(start).filter(isTag))
    if (found.length >= limit)
      return { tags: found.slice(0, limit), hasMore: found.length > limit || !isLast }
  }
  return { tags: found, hasMore: false }
}

interface TagsQuery extends Pick<TagsRequest, 'after' | 'limit'> {
  readonly name: string
  readonly signal: AbortSignal | undefined
}
