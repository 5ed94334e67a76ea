import {
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { digestHex, digestOf } from '../digest.ts'
import { directory, file, type TarMember, tarOf } from '../layer/testing/tar-writer.ts'
import { squashfsFormat } from '../writers/squashfs/squashfs-format.ts'
import { LayerSegments, type LayerSource, type SegmentLayer } from './layer-segments.ts'

const format = squashfsFormat()
let folder = ''
let segments: LayerSegments
const logged: string[] = []
const openSegments = () => LayerSegments.open({ folder, format, log: (message) => logged.push(message) })

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'layer-segments-'))
  logged.length = 0
  segments = await openSegments()
})
afterEach(async () => {
  await segments[Symbol.asyncDispose]()
  expect(logged).toEqual([])
  await rm(folder, { recursive: true })
})

interface MadeLayer extends SegmentLayer {
  readonly stored: Buffer
  readonly tar: Buffer
}

function layerOf(members: readonly TarMember[], seed = 'layer 1'): MadeLayer {
  const tar = tarOf(members)
  const stored = gzipSync(tar)
  return { digest: digestOf(stored), diffId: digestOf(tar), name: seed, stored, tar }
}

const small = layerOf([directory('d'), file('d/a', 'content'), file('.wh.gone')])

/** A source that counts how often it is opened. */
function sourceOf(stored: Buffer, pieceBytes = 1000): LayerSource & { opened: number } {
  const source = Object.assign(
    async function* () {
      source.opened += 1
      for (let offset = 0; offset < stored.length; offset += pieceBytes)
        yield stored.subarray(offset, offset + pieceBytes)
    },
    { opened: 0 },
  )
  return source
}

/** A source that gives the first half and then waits, like a download that is slow. */
function stoppingSource(stored: Buffer): {
  source: LayerSource
  reached: Promise<void>
  go: (error?: Error) => void
} {
  const reached = Promise.withResolvers<void>()
  const gate = Promise.withResolvers<void>()
  gate.promise.catch(() => undefined)
  return {
    reached: reached.promise,
    go: (error) => (error === undefined ? gate.resolve() : gate.reject(error)),
    async *source(signal) {
      signal.addEventListener('abort', () => gate.reject(signal.reason))
      yield stored.subarray(0, stored.length >> 1)
      reached.resolve()
      await gate.promise
      yield stored.subarray(stored.length >> 1)
    },
  }
}

const nameOf = ({ diffId }: SegmentLayer) => `${digestHex(diffId)}.squashfs-${format.version}.seg`

async function ensureAndLetGo(layer: MadeLayer, source = sourceOf(layer.stored)): Promise<void> {
  await using _opened = await segments.ensure(layer, source)
}

describe('ensure()', () => {
  test('gives index and sizes of the layer', async () => {
    await using opened = await segments.ensure(small, sourceOf(small.stored))
    expect([...opened.index.entries].map(({ path }) => path)).toEqual(['d', 'd/a', '.wh.gone'])
    expect(opened.index).toMatchObject({ name: 'layer 1', tarBytes: small.tar.length })
    expect(opened.contentBytes).toBe(7)
  })

  test('reads the layer once, however many ask at the same time and afterwards', async () => {
    const source = sourceOf(small.stored)
    const opened = await Promise.all(Array.from({ length: 5 }, () => segments.ensure(small, source)))
    for (const one of opened) await one[Symbol.asyncDispose]()
    await ensureAndLetGo(small, source)
    await segments[Symbol.asyncDispose]()
    segments = await openSegments()
    await ensureAndLetGo(small, source)
    expect(source.opened).toBe(1)
  })

  test('gives a segment its name when its users have let go of it, not before', async () => {
    const first = await segments.ensure(small, sourceOf(small.stored))
    const second = await segments.ensure(small, sourceOf(small.stored))
    await first[Symbol.asyncDispose]()
    expect((await readdir(folder)).map((name) => name.includes('.tmp-'))).toEqual([true])
    await second[Symbol.asyncDispose]()
    await segments[Symbol.asyncDispose]()
    expect(await readdir(folder)).toEqual([nameOf(small)])
  })

  test('makes the same bytes however the layer comes', async () => {
    const members = Array.from({ length: 40 }, (_, index) =>
      file(`f${index}`, Buffer.alloc(index * 7000, `text ${index % 5} `)),
    )
    const images: Buffer[] = []
    for (const pieceBytes of [10_000_000, 513, 7]) {
      const layer = layerOf(members)
      await ensureAndLetGo(layer, sourceOf(layer.stored, pieceBytes))
      await segments[Symbol.asyncDispose]()
      images.push(await readFile(join(folder, nameOf(layer))))
      await rm(join(folder, nameOf(layer)))
    }
    expect(images.map((image) => image.equals(images[0] as Buffer))).toEqual([true, true, true])
  })

  test('tells how many bytes of the layer it has read', async () => {
    const told: number[] = []
    await using _opened = await segments.ensure(small, sourceOf(small.stored, 50), {
      onProgress: (bytes) => told.push(bytes),
    })
    expect(told).toEqual(told.toSorted((one, other) => one - other))
    expect(told.at(-1)).toBe(small.stored.length)
  })

  test('takes its own source when the one it waited for breaks', async () => {
    const broken = stoppingSource(small.stored)
    const first = segments.ensure(small, broken.source)
    await broken.reached
    const second = segments.ensure(small, sourceOf(small.stored))
    broken.go(new Error('the connection broke'))
    await expect(first).rejects.toThrow('the connection broke')
    await using opened = await second
    expect(opened.contentBytes).toBe(7)
  })

  test('makes a few segments at a time', async () => {
    const sources = Array.from({ length: 12 }, (_, index) => {
      const layer = layerOf([file(`f${index}`, 'x')])
      return { layer, ...stoppingSource(layer.stored) }
    })
    let begun = 0
    const all = sources.map(async ({ layer, source }) => {
      await using _opened = await segments.ensure(layer, (signal) => {
        begun += 1
        return source(signal)
      })
    })
    await Promise.any(sources.map(({ reached }) => reached))
    expect(begun).toBeLessThanOrEqual(4)
    for (const { go } of sources) go()
    await Promise.all(all)
    expect(begun).toBe(12)
  })
})

describe('ensure() leaves nothing behind', () => {
  afterEach(async () => expect(await readdir(folder)).toEqual([]))

  test.each<[string, Buffer, Partial<SegmentLayer>, string]>([
    [
      'of a layer that is another one',
      small.stored,
      { diffId: digestOf(Buffer.from('other')) },
      'oci.digest-mismatch',
    ],
    ['of a layer that is cut off', small.stored.subarray(0, -20), {}, 'oci.corrupt-layer'],
    ['of a layer that is no tar', gzipSync(Buffer.alloc(2048, 'x')), {}, 'oci.corrupt-layer'],
  ])('%s', async (_, stored, changes, code) => {
    const ensuring = segments.ensure({ ...small, ...changes }, sourceOf(stored))
    await expect(ensuring).rejects.toMatchObject({ code })
  })

  test('when it is cancelled, also while it waits for its turn', async () => {
    const abort = new AbortController()
    const layers = Array.from({ length: 12 }, (_, index) => layerOf([file(`f${index}`, 'x')]))
    const all = layers.map((layer) =>
      segments.ensure(layer, stoppingSource(layer.stored).source, { signal: abort.signal }),
    )
    abort.abort()
    const outcomes = await Promise.allSettled(all)
    for (const outcome of outcomes) expect(outcome).toMatchObject({ reason: { code: 'oci.cancelled' } })
  })

  test('when the source fails', async () => {
    const { source, go } = stoppingSource(small.stored)
    go(new Error('gone'))
    await expect(segments.ensure(small, source)).rejects.toThrow('gone')
  })
})

describe('a segment that is not whole is made again:', () => {
  test.each<[string, (bytes: Buffer) => Buffer]>([
    ['an empty file', () => Buffer.alloc(0)],
    ['garbage', (bytes) => Buffer.alloc(bytes.length, 'garbage')],
    ['a lost end', (bytes) => bytes.subarray(0, -1)],
    ['a lost start', (bytes) => bytes.subarray(1)],
    ['more at the end', (bytes) => Buffer.concat([bytes, Buffer.alloc(4096)])],
    ['another index', (bytes) => flipped(bytes, -200)],
    ['another trailer', (bytes) => flipped(bytes, -40)],
    ['another hash', (bytes) => flipped(bytes, -1)],
  ])('%s', async (_, damage) => {
    await ensureAndLetGo(small)
    await segments[Symbol.asyncDispose]()
    const path = join(folder, nameOf(small))
    const whole = await readFile(path)
    await rm(path)
    await writeFile(path, damage(whole))
    const source = sourceOf(small.stored)
    await ensureAndLetGo(small, source)
    expect(source.opened).toBe(1)
    await segments[Symbol.asyncDispose]()
    expect((await readFile(path)).equals(whole)).toBe(true)
  })

  test('the segment of another layer under its name', async () => {
    const other = layerOf([file('other', 'x')])
    await ensureAndLetGo(other)
    await segments[Symbol.asyncDispose]()
    await writeFile(join(folder, nameOf(small)), await readFile(join(folder, nameOf(other))))
    const source = sourceOf(small.stored)
    await ensureAndLetGo(small, source)
    expect(source.opened).toBe(1)
  })

  test('a link to a whole one', async () => {
    await ensureAndLetGo(small)
    await segments[Symbol.asyncDispose]()
    const path = join(folder, nameOf(small))
    await rename(path, join(folder, 'elsewhere'))
    await symlink(join(folder, 'elsewhere'), path)
    expect(await segments.stat(small.diffId)).toBeUndefined()
    const source = sourceOf(small.stored)
    await ensureAndLetGo(small, source)
    expect(source.opened).toBe(1)
    await segments[Symbol.asyncDispose]()
    expect((await lstat(path)).isFile()).toBe(true)
  })

  test('one whose making was broken off by a crash', async () => {
    await writeFile(join(folder, `${nameOf(small)}.tmp-0123456789ab`), 'half')
    segments = await openSegments()
    expect(await readdir(folder)).toEqual([])
  })
})

describe('stat() and sweep()', () => {
  test('stat() knows the layers that have a segment', async () => {
    expect(await segments.stat(small.diffId)).toBeUndefined()
    const opened = await segments.ensure(small, sourceOf(small.stored))
    expect(await segments.stat(small.diffId)).toEqual({ entries: 3, contentBytes: 7 })
    await opened[Symbol.asyncDispose]()
    await segments[Symbol.asyncDispose]()
    expect(await segments.stat(small.diffId)).toEqual({ entries: 3, contentBytes: 7 })
  })

  test('sweep() removes what is not wanted, and what other versions left, and says how much that was', async () => {
    const other = layerOf([file('other', 'x')])
    await ensureAndLetGo(small)
    await ensureAndLetGo(other)
    await segments[Symbol.asyncDispose]()
    await writeFile(join(folder, `${digestHex(small.diffId)}.squashfs-zstd9-1.seg`), 'old')
    const { size } = await stat(join(folder, nameOf(other)))
    expect(await segments.sweep((diffId) => diffId === small.diffId)).toBe(size + 3)
    expect(await readdir(folder)).toEqual([nameOf(small)])
  })

  test('sweep() leaves alone what is being made', async () => {
    const { source, reached, go } = stoppingSource(small.stored)
    const ensuring = segments.ensure(small, source)
    await reached
    expect(await segments.sweep(() => false)).toBe(0)
    go()
    await using opened = await ensuring
    expect(opened.contentBytes).toBe(7)
  })
})

test('a segment that cannot be kept is told and does no harm', async () => {
  const opened = await segments.ensure(small, sourceOf(small.stored))
  const path = join(folder, nameOf(small))
  await mkdir(join(path, 'in the way'), { recursive: true })
  await opened[Symbol.asyncDispose]()
  await segments[Symbol.asyncDispose]()
  expect(logged.splice(0)).toEqual([expect.stringContaining('could not be kept')])
  expect(await readdir(folder)).toEqual([nameOf(small)])
})

function flipped(bytes: Buffer, position: number): Buffer {
  const changed = Buffer.from(bytes)
  const index = changed.length + position
  changed[index] = (changed[index] ?? 0) ^ 1
  return changed
}
