// A million entries in a layer, and more than we take: what tests/images/bombs.test.ts does with a tenth.

import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { LIMITS } from '../../core/oci/limits.ts'
import { manyEntries } from '../images/bombs/bomb-layers.ts'
import { buildInChild } from '../images/bombs/build-in-child.ts'

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bomb-'))
  await mkdir(join(folder, 'built'))
})
afterEach(() => rm(folder, { recursive: true }))

const timeout = 600_000

test.each(['squashfs', 'erofs'] as const)(
  'a million entries are built as %s with bounded memory',
  { timeout },
  async (format) => {
    const layer = await manyEntries(join(folder, 'layer'), 1_000_000)
    const built = await buildInChild({ layer, format, folder: join(folder, 'built') })
    console.log(`a million entries as ${format}: ${built.wallMs} ms, ${built.peakMiB} MiB at most`)
    expect(built).toMatchObject({ entries: 1_001_001 })
    expect(built.peakMiB).toBeLessThan(1800)
  },
)

test('one entry more than allowed is refused', { timeout }, async () => {
  const layer = await manyEntries(join(folder, 'layer'), LIMITS.layerEntries + 1)
  const built = await buildInChild({ layer, format: 'erofs', folder: join(folder, 'built') })
  expect(built).toMatchObject({ code: 'oci.limit', which: 'layerEntries' })
  expect(built.peakMiB).toBeLessThan(400)
})
