import { mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openCache } from '../cache.ts'
import { temporaryFolder } from '../temporary-folder.fixture.ts'
import { pruneImages } from './prune.ts'

test('pruneImages() removes what was not used for a day, but keeps the newest of each kind', () => {
  const cache = openCache({ BULKHEAD_CACHE: temporaryFolder('prune') })
  const now = new Date()
  const add = (name: string, ageHours: number, isFolder = false) => {
    const path = join(cache.images, name)
    if (isFolder) mkdirSync(path)
    else writeFileSync(path, '')
    const used = new Date(now.getTime() - ageHours * 3_600_000)
    utimesSync(path, used, used)
  }
  for (const hours of [1, 2, 3, 4, 5, 30, 40]) add(`core-${hours}`, hours)
  for (const hours of [30, 40, 50, 60, 70]) add(`snapshot-${hours}`, hours, true)
  add('.build-core-x', 100, true)
  pruneImages(cache, now.getTime())
  expect(readdirSync(cache.images).sort()).toEqual([
    '.build-core-x',
    ...['core-1', 'core-2', 'core-3', 'core-4', 'core-5'],
    ...['snapshot-30', 'snapshot-40', 'snapshot-50', 'snapshot-60'],
  ])
})
