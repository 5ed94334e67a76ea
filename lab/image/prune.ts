// Keeps the cache from growing with every change: of each kind of built file the most recently used stay.

import { readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { LabCache } from '../cache.ts'

interface Limit {
  readonly kept: number
  /** What was used a moment ago may be about to be opened by another process; what QEMU has open survives its name. */
  readonly leastAgeMs: number
}

const hourMs = 60 * 60 * 1000
const usualLimit: Limit = { kept: 4, leastAgeMs: 24 * hourMs }
/** A snapshot with a core is large and there is a new one with every change of the code. */
const warmLimit: Limit = { kept: 2, leastAgeMs: hourMs }

/** Removes built files that nobody has used lately and of which there are newer ones of the same kind. */
export function pruneImages(cache: LabCache, nowMs: number): void {
  const entries = readdirSync(cache.images)
    .filter((name) => /^[a-z]+-/.test(name))
    .map((name) => ({
      name,
      kind: name.slice(0, name.indexOf('-')),
      usedMs: statSync(join(cache.images, name)).mtimeMs,
    }))
    .sort((one, other) => other.usedMs - one.usedMs)
  const seen = new Map<string, number>()
  for (const { name, kind, usedMs } of entries) {
    const count = (seen.get(kind) ?? 0) + 1
    seen.set(kind, count)
    const { kept, leastAgeMs } = kind === 'warm' ? warmLimit : usualLimit
    if (count > kept && nowMs - usedMs > leastAgeMs)
      rmSync(join(cache.images, name), { recursive: true, force: true })
  }
}
