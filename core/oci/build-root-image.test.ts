import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { BuildProgress } from './build-root-image.ts'
import { digestOf } from './digest.ts'

import { directory, file, type TarMember, tarOf } from './layer/testing/tar-writer.ts'
import { buildFromFiles, type LayerFile } from './segments/testing/build-from-files.ts'
import { checkSquashfs } from './writers/squashfs/self-check.ts'
import { squashfsFormat } from './writers/squashfs/squashfs-format.ts'

let folder = ''
let results = ''
let output = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'build-root-image-'))
  results = join(folder, 'results')
  output = join(results, 'image')
  await mkdir(results)
})
afterEach(() => rm(folder, { recursive: true }))

async function layer(members: readonly TarMember[], changes: Partial<LayerFile> = {}): Promise<LayerFile> {
  const tar = tarOf(members)
  const stored = gzipSync(tar, { level: 1 })
  const path = join(folder, randomBytes(6).toString('hex'))
  await writeFile(path, stored)
  return { path, digest: digestOf(stored), diffId: digestOf(tar), ...changes }
}

const files = (count: number) =>
  Array.from({ length: count }, (_, index) => file(`d/${index}`, randomBytes(300_000)))

describe('buildRootImage()', () => {
  test('tells what it has built', async () => {
    const layers = [
      await layer([directory('d'), file('d/a', Buffer.alloc(1000)), file('b', 'hidden')]),
      await layer([file('.wh.b'), file('c', 'seen')]),
    ]
    const built = await buildFromFiles({ layers, output })
    expect(built).toEqual({ sizeBytes: (await readFile(output)).length, entries: 4, uncompressedBytes: 1004 })
    expect(built.sizeBytes % 4096).toBe(0)
  })

  test('reports progress in bytes of layers, then of what is copied, up to all of them', async () => {
    const layers = [await layer(files(10)), await layer(files(10))]
    const reports: BuildProgress[] = []
    const { sizeBytes } = await buildFromFiles({
      layers,
      output,
      onProgress: (progress) => reports.push(progress),
    })
    const of = (phase: BuildProgress['phase']) => reports.filter((report) => report.phase === phase)
    for (const reported of [of('unpack'), of('write')]) {
      expect(new Set(reported.map(({ bytesTotal }) => bytesTotal)).size).toBe(1)
      const done = reported.map(({ bytesDone }) => bytesDone)
      expect(done).toEqual(done.toSorted((one, other) => one - other))
      expect(done.at(-1)).toBe(reported[0]?.bytesTotal)
    }
    const sizes = await Promise.all(layers.map(async ({ path }) => (await readFile(path)).length))
    expect(of('unpack')[0]?.bytesTotal).toBe(sizes.reduce((sum, size) => sum + size))
    expect(sizeBytes - (of('write')[0]?.bytesTotal ?? 0)).toBeLessThan(32_768)
    const phases = reports.map(({ phase }) => phase)
    expect(phases.filter((phase, index) => phase !== phases[index - 1])).toEqual([
      'unpack',
      'merge',
      'write',
      'sync',
    ])
  })

  test('compresses more at a higher level', async () => {
    const text = Array.from(
      { length: 60_000 },
      (_, index) => `line ${(index * 7919) % 1009} of ${index % 37}\n`,
    )
    const layers = [await layer([file('text', text.join(''))])]
    const fast = await buildFromFiles({ layers, output })
    const small = await buildFromFiles({ layers, output: join(results, 'small'), format: squashfsFormat(15) })
    expect(small.sizeBytes).toBeLessThan(fast.sizeBytes)
  })

  test('replaces an image that is there already', async () => {
    await writeFile(output, 'an older image')
    await buildFromFiles({ layers: [await layer([file('a')])], output })
    expect((await readFile(output)).subarray(0, 4).toString()).toBe('hsqs')
    expect(await readdir(results)).toEqual(['image'])
  })

  test('builds an image of layers that hold nothing', async () => {
    expect(await buildFromFiles({ layers: [await layer([])], output })).toMatchObject({
      entries: 1,
      uncompressedBytes: 0,
    })
  })
})

describe('buildRootImage() leaves nothing behind', () => {
  afterEach(async () => expect(await readdir(results)).toEqual([]))

  test.each<[string, () => Promise<LayerFile[]>, object]>([
    ['without layers', async () => [], { code: 'oci.corrupt-image' }],
    [
      'when a layer is not what the image says',
      async () => [await layer(files(2)), await layer(files(3), { diffId: `sha256:${'0'.repeat(64)}` })],
      {
        code: 'oci.digest-mismatch',
        message: expect.stringMatching(/^Cannot accept layer 2 \([0-9a-f]{12}\)/),
      },
    ],
    [
      'when a layer cannot be merged',
      async () => [await layer([...files(3), file('d/0/x')])],
      { code: 'oci.corrupt-layer', message: expect.stringContaining('entry "d/0/x"') },
    ],
    [
      'when a layer is missing',
      async () => [await layer([], { path: '/nowhere/layer' })],
      { code: 'ENOENT' },
    ],
    [
      'when a digest is none',
      async () => [await layer([], { diffId: 'sha256:../../x' })],
      { code: 'oci.bad-digest' },
    ],
  ])('%s', async (_, layers, error) => {
    await expect(buildFromFiles({ layers: await layers(), output })).rejects.toMatchObject(error)
  })

  test.each(['unpack', 'merge', 'write', 'sync'] as const)(
    'when it is aborted in the phase %s',
    async (phase) => {
      const abort = new AbortController()
      const onProgress = (progress: BuildProgress) => {
        if (progress.phase === phase) abort.abort()
      }
      const layers = [await layer(files(20)), await layer(files(20))]
      const building = buildFromFiles({ layers, output, signal: abort.signal, onProgress })
      await expect(building).rejects.toMatchObject({
        code: 'oci.cancelled',
        message: expect.stringMatching(/^Cannot .*: cancelled$/),
      })
    },
  )

  test('when it was aborted before it began', async () => {
    const building = buildFromFiles({ layers: [await layer([])], output, signal: AbortSignal.abort() })
    await expect(building).rejects.toMatchObject({ code: 'oci.cancelled' })
  })
})

describe('checkSquashfs()', () => {
  const members = [...files(3), file('text', 'text that can be compressed '.repeat(1000))]
  const checked = async (damage: (image: Buffer) => Buffer) => {
    const { sizeBytes } = await buildFromFiles({ layers: [await layer(members)], output })
    await writeFile(output, damage(await readFile(output)))
    await using image = await open(output, 'r')
    await checkSquashfs(image, sizeBytes)
  }

  test('accepts an image as it was written', async () => {
    await checked((image) => image)
  })

  test.each<[string, (image: Buffer) => Buffer, RegExp]>([
    ['no superblock', (image) => image.fill(0, 0, 4), /superblock/],
    ['a lost end', (image) => image.subarray(0, image.length - 4096), /size/],
    ['a root elsewhere', (image) => image.fill(0xff, 32, 36), /damaged|decompressed|ends|root/],
    ['tables out of order', (image) => image.fill(0xee, 64, 70), /order/],
    ['damaged contents', (image) => image.fill(0xee, 96, Number(image.readBigUInt64LE(64))), /decompressed/],
  ])('refuses one with %s', async (_, damage, reason) => {
    await expect(checked(damage)).rejects.toThrow(reason)
  })
})
