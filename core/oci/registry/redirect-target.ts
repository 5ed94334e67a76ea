// Where a registry may lead us: blobs often lie in a store of objects elsewhere.

import { OciError } from '../errors.ts'

/** Statuses that name another place for what was asked. */
export const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])

/**
 * The URL of a Location header: http or https, never from https to http, and without a user name in it. `host` names the
 * registry in errors. Throws `oci.registry`.
 */
export function redirectTarget(location: string | undefined, from: URL, host: string): URL {
  const target = location === undefined ? null : URL.parse(location, from.href)
  const isPlain = target?.protocol === 'http:'
  if (
    target === null ||
    (target.protocol !== 'https:' && !isPlain) ||
    target.username !== '' ||
    target.password !== ''
  ) {
    throw new OciError(
      'oci.registry',
      `Cannot read from ${host}: it redirects to ${JSON.stringify(location ?? '')}`,
    )
  }
  if (isPlain && from.protocol === 'https:') {
    throw new OciError(
      'oci.registry',
      `Cannot read from ${host}: it redirects to ${target.host} without encryption`,
    )
  }
  return target
}
