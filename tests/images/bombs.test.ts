// Layers that are small and ask for much: they end with a sentence that names the limit, or are built with little memory
// and little disk. Each is built in a process of its own, which is measured.

import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parseImageConfig } from '../../core/oci/image-config.ts'
import { parseDocument } from '../../core/oci/manifest.ts'
import {
  type BombLayer,
  largeHole,
  largePaxHeader,
  longPath,
  manyAttributes,
  manyEntries,
  manyRegions,
  zeros,
} from './bombs/bomb-layers.ts'
import { buildInChild, type ChildOutcome } from './bombs/build-in-child.ts'

const MIB = 1024 * 1024
/** Node alone takes some 70 MiB, and collects its garbage late. */
const PEAK_MIB = 320

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bomb-'))
})
afterEach(() => rm(folder, { recursive: true }))

async function build(layer: BombLayer, format: 'squashfs' | 'erofs'): Promise<ChildOutcome> {
  const output = join(folder, 'built')
  await mkdir(output)
  return await buildInChild({ layer, format, folder: output })
}

const layerPath = () => join(folder, 'layer')

describe.each(['squashfs', 'erofs'] as const)('%s', (format) => {
  test.each([
    ['1 GiB of zeros in 1 MB of gzip', 'gzip', 1024],
    ['192 MiB of zeros in 6 KB of zstd', 'zstd', 192],
  ] as const)('%s cost neither memory nor disk', async (_, compression, sizeMiB) => {
    const layer = await zeros(layerPath(), compression, sizeMiB)
    expect(layer.storedBytes).toBeLessThan(1.2 * MIB)
    const built = await build(layer, format)
    expect(built).toMatchObject({ entries: 2, uncompressedBytes: sizeMiB * MIB })
    expect(built.diskBytes).toBeLessThan(128 * 1024)
    expect(built.peakMiB).toBeLessThan(PEAK_MIB)
  })

  test('100 000 entries are built with bounded memory', async () => {
    const built = await build(await manyEntries(layerPath(), 100_000), format)
    expect(built).toMatchObject({ entries: 100_101 })
    expect(built.peakMiB).toBeLessThan(PEAK_MIB + 200)
  })

  test('a sparse map of a million regions is followed', async () => {
    const built = await build(await manyRegions(layerPath(), 1_000_000), format)
    expect(built).toMatchObject({ entries: 2, uncompressedBytes: 16_000_000 })
    expect(built.peakMiB).toBeLessThan(PEAK_MIB + 200)
  })
})

test.each<[string, (path: string) => Promise<BombLayer>, string, RegExp]>([
  ['a path of 1 MiB', longPath, 'pathBytes', /its path has 1048575 bytes, and Linux allows 4095$/],
  [
    'a PAX header of 1 GiB',
    largePaxHeader,
    'tarMetadataBytes',
    /has 1073741824 bytes, and 1 MiB is allowed$/,
  ],
  [
    'a sparse map of more than a million regions',
    (path) => manyRegions(path, 1_000_001),
    'sparseRegions',
    /more than 1000000 sparse regions$/,
  ],
  ['a hole of 200 GiB', largeHole, 'imageUncompressedBytes', /more than 128 GiB$/],
  [
    'attributes without end',
    manyAttributes,
    'layerIndexBytes',
    /names and attributes take more than 256 MiB$/,
  ],
  [
    '1 GiB of zeros in 33 KB of zstd',
    (path) => zeros(path, 'zstd', 1024),
    'expansion',
    /more than 1100 times what it takes compressed$/,
  ],
])('%s is refused', async (_, make, which, message) => {
  const layer = await make(layerPath())
  const built = await build(layer, 'erofs')
  expect(built).toMatchObject({ code: 'oci.limit', which, message: expect.stringMatching(message) })
  expect(built.peakMiB).toBeLessThan(PEAK_MIB + 300)
})

test.each([
  ['manifest', (bytes: Buffer) => parseDocument(bytes, undefined, 'the manifest')],
  ['config', (bytes: Buffer) => parseImageConfig(bytes, 'the config')],
])('a %s that is nested a million deep, or too large, is refused', (_, parse) => {
  for (const [bytes, which] of [
    [Buffer.from(`${'[{"a":'.repeat(500_000)}1${'}]'.repeat(500_000)}`), 'jsonDepth'],
    [Buffer.from(`${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}`), 'jsonDepth'],
    [Buffer.alloc(9 * MIB, ' '), /(manifest|config)Bytes/],
  ] as const) {
    const data = { which: typeof which === 'string' ? which : expect.stringMatching(which) }
    expect(() => parse(bytes)).toThrow(expect.objectContaining({ code: 'oci.limit', data }))
  }
})
