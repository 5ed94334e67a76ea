import { execFileSync } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { BulkheadError } from '../../errors.ts'
import { BZIMAGE_HEADER_BYTES, findPayload, isBzImage } from './bzimage.ts'
import { compressors, makeBzImage, makeSmallKernel, sizeTrailer } from './kernel.fixture.ts'
import { loadKernel } from './load-kernel.ts'

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bulkhead-kernel-'))
})
afterEach(async () => {
  await rm(folder, { recursive: true, force: true })
})

const cacheDir = () => join(folder, 'cache')
const place = async (name: string, bytes: Uint8Array) => {
  const path = join(folder, name)
  await writeFile(path, bytes)
  return path
}
const load = (path: string, signal?: AbortSignal) => loadKernel(path, { cacheDir: cacheDir(), signal })

/** 9 MiB, so that lz4 needs more than one block. */
const kernel = makeSmallKernel(9 << 20)
const zstdPayload = compressors.zstd(kernel)
const bzImages = {
  gzip: makeBzImage(compressors.gzip(kernel)),
  xz: withTrailer(compressors.xz(kernel)),
  zstd: withTrailer(zstdPayload),
  lz4: withTrailer(compressors.lz4(kernel)),
  lzma: withTrailer(compressors.lzma(kernel)),
}

function withTrailer(payload: Uint8Array, claimedSize = kernel.length): Uint8Array<ArrayBuffer> {
  return makeBzImage(Buffer.concat([payload, sizeTrailer(claimedSize)]))
}

describe('loadKernel()', () => {
  test('uses an ELF file in place', async () => {
    const path = await place('vmlinux', kernel)
    const loaded = await load(path)
    expect(loaded).toMatchObject({ path, origin: 'plain', sizeBytes: kernel.length })
    expect(loaded.notes.virtualBase).toBe(0xffffffff80000000n)
  })

  test.each(Object.entries(bzImages))('unpacks a bzImage compressed with %s', async (name, image) => {
    const loaded = await load(await place(`vmlinuz-${name}`, image))
    expect(loaded.origin).toBe('unpacked')
    expect(Buffer.compare(await readFile(loaded.path), kernel)).toBe(0)
    expect(await readdir(cacheDir())).toHaveLength(1)
  })

  test('unpacks a compressed ELF file', async () => {
    const loaded = await load(await place('vmlinux.gz', compressors.gzip(kernel)))
    expect(Buffer.compare(await readFile(loaded.path), kernel)).toBe(0)
  })

  test('finds a kernel it unpacked before by its content', async () => {
    const first = await load(await place('one', bzImages.gzip))
    const second = await load(await place('two', bzImages.gzip))
    expect(second).toMatchObject({ path: first.path, origin: 'cached' })
  })

  test('notices that a file at the same path was replaced', async () => {
    const path = await place('vmlinuz', bzImages.gzip)
    const first = await load(path)
    const other = makeSmallKernel(1 << 20)
    await writeFile(path, makeBzImage(compressors.gzip(other)))
    const second = await load(path)
    expect(second.path).not.toBe(first.path)
    expect(second.sizeBytes).toBe(other.length)
  })

  test('makes a damaged cache file anew', async () => {
    const path = await place('vmlinuz', bzImages.gzip)
    const first = await load(path)
    await truncate(first.path, 1000)
    expect(await load(path)).toMatchObject({ origin: 'unpacked', sizeBytes: kernel.length })
  })

  test('may be called for the same kernel many times at once', async () => {
    const path = await place('vmlinuz', bzImages.zstd)
    const loaded = await Promise.all(Array.from({ length: 5 }, () => load(path)))
    expect(new Set(loaded.map((one) => one.path)).size).toBe(1)
    expect(await readdir(cacheDir())).toHaveLength(1)
  })

  test('believes the data and not the size that the trailer claims', async () => {
    const loaded = await load(await place('vmlinuz', withTrailer(zstdPayload, 0xffffffff)))
    expect(loaded.sizeBytes).toBe(kernel.length)
  })

  test('stops at 512 MiB and leaves nothing behind', { timeout: 60_000 }, async () => {
    const bomb = execFileSync('sh', ['-c', 'head -c 600M /dev/zero | zstd -q -1 -c'], { maxBuffer: 1 << 26 })
    await expect(load(await place('bomb', bomb))).rejects.toMatchObject({ code: 'kernel.too-large' })
    expect(await readdir(cacheDir())).toEqual([])
  })

  test('stops when aborted and leaves nothing behind', async () => {
    const path = await place('vmlinuz', bzImages.xz)
    await expect(load(path, AbortSignal.abort())).rejects.toMatchObject({ name: 'AbortError' })
    const controller = new AbortController()
    const loading = load(path, controller.signal)
    setImmediate(() => controller.abort())
    await expect(loading).rejects.toMatchObject({ name: 'AbortError' })
    expect(await readdir(cacheDir()).catch(() => [])).toEqual([])
  })

  test('removes temporary files that a dead process left, and no younger ones', async () => {
    await load(await place('one', bzImages.gzip))
    const old = join(cacheDir(), '.dead.tmp')
    await writeFile(old, 'x')
    await utimes(old, 1, 1)
    await writeFile(join(cacheDir(), '.live.tmp'), 'x')
    await load(await place('two', bzImages.xz))
    expect((await readdir(cacheDir())).filter((name) => name.endsWith('.tmp'))).toEqual(['.live.tmp'])
  })

  test('keeps the eight kernels that were unpacked last', async () => {
    const loaded = await load(await place('one', bzImages.gzip))
    for (let age = 1; age <= 9; age++) {
      const path = join(cacheDir(), `${age}.elf`)
      await writeFile(path, 'x')
      await utimes(path, 1000 - age, 1000 - age)
    }
    const last = await load(await place('two', bzImages.xz))
    const expected = [loaded.path, last.path, ...[1, 2, 3, 4, 5, 6].map((age) => `${age}.elf`)]
    expect((await readdir(cacheDir())).toSorted()).toEqual(expected.map((path) => basename(path)).toSorted())
  })

  test.each(Object.entries(bzImages))(
    'reports damage in %s data and leaves nothing behind',
    async (name, image) => {
      const damaged = image.slice()
      // Behind the headers of the format, in the middle of the compressed data.
      damaged.fill(0xff, 20_000, 20_400)
      await expect(load(await place(`damaged-${name}`, damaged))).rejects.toBeInstanceOf(BulkheadError)
      expect(await readdir(cacheDir()).catch(() => [])).toEqual([])
    },
  )

  test.each([
    ['text', Buffer.from('hello'), 'kernel.not-a-kernel'],
    ['an empty file', Buffer.alloc(0), 'kernel.not-a-kernel'],
    ['a compressed text', compressors.gzip(Buffer.from('hello')), 'kernel.not-a-kernel'],
    ['bzip2', makeBzImage(Buffer.from('BZh91AY')), 'kernel.unsupported-compression'],
  ])('refuses %s', async (_, bytes, code) => {
    await expect(load(await place('file', bytes))).rejects.toMatchObject({ code })
  })

  test('says which file it cannot read', async () => {
    const path = join(folder, 'absent')
    await expect(load(path)).rejects.toThrow(`Cannot read kernel image ${path}: ENOENT`)
    await expect(load(folder)).rejects.toThrow('it is not a regular file')
  })

  test('refuses a FIFO instead of waiting for a writer', async () => {
    const path = join(folder, 'fifo')
    execFileSync('mkfifo', [path])
    await expect(load(path)).rejects.toThrow('it is not a regular file')
  })
})

describe('findPayload()', () => {
  test('never leaves the file, whatever the header says', () => {
    const head = makeBzImage(new Uint8Array(100)).subarray(0, BZIMAGE_HEADER_BYTES)
    const u32 = fc.nat({ max: 0xffffffff })
    fc.assert(
      fc.property(
        fc.nat({ max: 255 }),
        u32,
        u32,
        fc.nat({ max: 1 << 26 }),
        (sectors, offset, length, size) => {
          const bytes = head.slice()
          const view = new DataView(bytes.buffer)
          bytes[0x1f1] = sectors
          view.setUint32(0x248, offset, true)
          view.setUint32(0x24c, length, true)
          expect(isBzImage(bytes)).toBe(true)
          try {
            const range = findPayload(bytes, size)
            expect(range.offset + range.length).toBeLessThanOrEqual(size)
          } catch (error) {
            expect(error).toBeInstanceOf(BulkheadError)
          }
        },
      ),
    )
  })
})
