// Where the lab keeps its files: everything lies under one cache folder, so that removing it removes the lab.

import { mkdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

export interface LabCache {
  readonly root: string
  /** Debian packages as fetched. */
  readonly packages: string
  /** Disk images, kernels and snapshots, each named by the content that it was made from. */
  readonly images: string
  /** One folder for each lab: its state disk, console log and sockets. */
  readonly labs: string
}

/** The cache folders, created if missing: `$BULKHEAD_CACHE`, else `$XDG_CACHE_HOME/bulkhead`, else `~/.cache/bulkhead`. */
export function openCache(environment: NodeJS.ProcessEnv = process.env): LabCache {
  const root =
    environment.BULKHEAD_CACHE || join(environment.XDG_CACHE_HOME || join(homedir(), '.cache'), 'bulkhead')
  const cache = {
    root,
    packages: join(root, 'packages'),
    images: join(root, 'images'),
    labs: join(root, 'labs'),
  }
  for (const folder of [cache.packages, cache.images, cache.labs]) {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
  }
  return cache
}
