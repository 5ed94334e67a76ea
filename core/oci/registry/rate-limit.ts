// How many pulls a registry still allows, from the `RateLimit-Limit` and `RateLimit-Remaining` headers that Docker Hub
// sends with manifests (draft-polli-ratelimit-headers-00): `100;w=21600` is 100 in six hours.

import type { RateLimit } from '../progress.ts'

/** Reads both headers of a response; undefined where the registry does not say. */
export function parseRateLimit(response: {
  header(name: string): string | undefined
}): RateLimit | undefined {
  const limit = parseQuota(response.header('ratelimit-limit'))
  const remaining = parseQuota(response.header('ratelimit-remaining'))
  if (limit === undefined || remaining === undefined) return undefined
  const windowSeconds = limit.windowSeconds ?? remaining.windowSeconds
  return {
    limit: limit.count,
    remaining: remaining.count,
    ...(windowSeconds === undefined ? {} : { windowSeconds }),
  }
}

function parseQuota(
  header: string | undefined,
): { count: number; windowSeconds: number | undefined } | undefined {
  // The first of several quotas is the one in force.
  const [count, ...parameters] = header?.split(',')[0]?.split(';') ?? []
  if (count === undefined || !/^\s*\d{1,12}\s*$/.test(count)) return undefined
  const window = parameters.map((text) => /^\s*w\s*=\s*(\d{1,12})\s*$/.exec(text)?.[1]).find(Boolean)
  return { count: Number(count), windowSeconds: window === undefined ? undefined : Number(window) }
}
