import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Digest, digestOf } from '../digest.ts'
import type { FillBlob } from './blob-intake.ts'
import { BlobStore } from './blob-store.ts'
import { partPath } from './part-files.ts'

let folder: string
let blobs: BlobStore

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'bulkhead-blobs-'))
  blobs = await BlobStore.open(folder)
})

afterEach(() => rm(folder, { recursive: true }))

const content = Buffer.from('the content of a layer')
const expected = { digest: digestOf(content), size: content.length }
const leftovers = () => readdir(path.join(folder, 'ingest'))
const coded = (code: string) => expect.objectContaining({ code })

test('ingest() stores what has the right size and digest', async () => {
  const seen: number[] = []
  const fill = async (writer: { write(bytes: Uint8Array): Promise<void> }) => {
    await writer.write(content.subarray(0, 5))
    await writer.write(content.subarray(5))
  }
  await blobs.ingest('layer', expected, fill, { onProgress: (sizeBytes) => seen.push(sizeBytes) })
  expect(seen).toEqual([5, content.length])
  expect(await blobs.read(expected.digest, 'layer')).toEqual(content)
  expect(await leftovers()).toEqual([])
})

test.each([
  ['too long', Buffer.concat([content, content]), 'oci.size-mismatch'],
  ['other bytes', Buffer.from(content).fill('x', 0, 1), 'oci.digest-mismatch'],
])('ingest() refuses a blob with %s and leaves nothing behind', async (_, bytes, code) => {
  await expect(blobs.ingest('layer', expected, (writer) => writer.write(bytes))).rejects.toThrow(coded(code))
  expect(await blobs.has(expected)).toBe(false)
  expect(await leftovers()).toEqual([])
})

test('ingest() stores a sha512 blob in its own folder', async () => {
  const blob = { digest: digestOf(content, 'sha512'), size: content.length }
  await blobs.ingest('layer', blob, (writer) => writer.write(content))
  expect(blobs.pathOf(blob.digest)).toContain(`${path.sep}sha512${path.sep}`)
  expect(await blobs.read(blob.digest, 'layer')).toEqual(content)
})

test('a writer that restarts forgets what it was given before', async () => {
  await blobs.ingest('layer', expected, async (writer) => {
    await writer.write(Buffer.from('something else'))
    await writer.restart()
    await writer.write(content)
  })
  expect(await blobs.read(expected.digest, 'layer')).toEqual(content)
})

test('two who want one blob at the same time share one run', async () => {
  let runs = 0
  const fill = async (writer: { write(bytes: Uint8Array): Promise<void> }) => {
    runs += 1
    await writer.write(content)
  }
  const results = await Promise.all([
    blobs.ingest('layer', expected, fill),
    blobs.ingest('layer', expected, fill),
  ])
  expect(results).toEqual([expected, expected])
  expect(runs).toBe(1)
})

const broken = new Error('the connection broke')

/** Writes what is missing of `bytes`, and breaks off where it is told to. */
const filling =
  (bytes: Uint8Array, breakAt = bytes.length): FillBlob =>
  async (writer) => {
    await writer.write(bytes.subarray(writer.sizeBytes, breakAt))
    if (breakAt < bytes.length) throw broken
  }

const ingest = (fill: FillBlob, options = {}) => blobs.ingest('layer', expected, fill, options)
const part = (start = 0) => partPath(path.join(folder, 'ingest'), expected.digest, start)
const reopen = async () => {
  blobs = await BlobStore.open(folder)
}

describe('a download that is broken off', () => {
  test('goes on where it stopped, also after a restart', async () => {
    await expect(ingest(filling(content, 5))).rejects.toThrow(broken)
    await reopen()
    expect(await blobs.partBytes(expected.digest)).toBe(5)
    const starts: number[] = []
    const seen: number[] = []
    const fill: FillBlob = async (writer) => {
      starts.push(writer.sizeBytes)
      await writer.write(content.subarray(writer.sizeBytes))
    }
    await ingest(fill, { onProgress: (bytes: number) => seen.push(bytes) })
    expect(starts).toEqual([5])
    expect(seen).toEqual([5, content.length])
    expect(await blobs.read(expected.digest, 'layer')).toEqual(content)
    expect(await leftovers()).toEqual([])
  })

  test('keeps the pieces that came over other connections', async () => {
    await expect(
      ingest(async (writer) => {
        await writer.writeAt(10, content.subarray(10, 15))
        await writer.writeAt(15, content.subarray(15, 16))
        await writer.writeAt(0, content.subarray(0, 3))
        expect(writer.sizeBytes).toBe(3)
        throw broken
      }),
    ).rejects.toThrow(broken)
    await reopen()
    const gaps: unknown[] = []
    const seen: number[] = []
    await ingest(
      async (writer) => {
        gaps.push(...writer.missing)
        await writer.writeAt(16, content.subarray(16))
        await writer.writeAt(3, content.subarray(3, 10))
        expect(writer.isComplete).toBe(true)
      },
      { onProgress: (bytes: number) => seen.push(bytes) },
    )
    expect(gaps).toEqual([
      { start: 3, end: 10 },
      { start: 16, end: content.length },
    ])
    expect(seen.at(-1)).toBe(content.length)
    expect(await blobs.read(expected.digest, 'layer')).toEqual(content)
    expect(await leftovers()).toEqual([])
  })

  test('is complete without a byte more when everything is there already', async () => {
    await writeFile(part(), content.subarray(0, 7))
    await writeFile(part(7), content.subarray(7))
    await ingest(() => Promise.reject(new Error('nothing is missing')))
    expect(await blobs.read(expected.digest, 'layer')).toEqual(content)
    expect(await leftovers()).toEqual([])
  })

  test.each([
    ['other bytes', 0, Buffer.alloc(9, 'x')],
    ['more bytes than the blob has', 0, Buffer.alloc(100, 'x')],
    ['a piece of other bytes', 9, Buffer.alloc(3, 'x')],
    ['a piece that goes too far', 9, Buffer.alloc(100, 'x')],
  ])('starts over when %s are found', async (_, start, bytes) => {
    await writeFile(part(start), bytes)
    const attempts: number[] = []
    await ingest(async (writer, _signal, attempt) => {
      attempts.push(attempt)
      for (const { start: from, end } of writer.missing)
        await writer.writeAt(from, content.subarray(from, end))
    })
    expect(attempts).toEqual(bytes.length === 100 ? [1] : [1, 2])
    expect(await blobs.read(expected.digest, 'layer')).toEqual(content)
    expect(await leftovers()).toEqual([])
  })

  test('is fetched once more when its bytes are wrong, and then fails and is forgotten', async () => {
    let runs = 0
    const wrong: FillBlob = async (writer) => {
      runs += 1
      await writer.write(Buffer.alloc(content.length, 'x'))
    }
    await expect(ingest(wrong)).rejects.toThrow(coded('oci.digest-mismatch'))
    expect(runs).toBe(2)
    expect(await leftovers()).toEqual([])
  })

  test('is forgotten after a week; other leftovers go at once', async () => {
    const other = digestOf(Buffer.from('other'))
    await writeFile(part(), 'young')
    await writeFile(part(10), 'young')
    const old = partPath(path.join(folder, 'ingest'), other)
    await writeFile(old, 'old')
    const eightDaysAgo = Date.now() / 1000 - 8 * 24 * 3600
    await utimes(old, eightDaysAgo, eightDaysAgo)
    await writeFile(path.join(folder, 'ingest', 'document.tmp-1'), 'half')
    await symlink('/etc/passwd', partPath(path.join(folder, 'ingest'), digestOf(Buffer.from('link'))))
    await reopen()
    const kept = [path.basename(part()), path.basename(part(10))]
    expect((await leftovers()).sort()).toEqual(kept.sort())
    expect(await blobs.sweepParts({ dryRun: true })).toBe(10)
    expect(await leftovers()).toHaveLength(2)
    expect(await blobs.sweepParts()).toBe(10)
    expect(await leftovers()).toEqual([])
  })

  test('keeps its leftovers from being swept while it goes on', async () => {
    await ingest(async (writer) => {
      await writer.write(content.subarray(0, 5))
      expect(await blobs.sweepParts()).toBe(0)
      await writer.write(content.subarray(5))
    })
    expect(await blobs.read(expected.digest, 'layer')).toEqual(content)
  })
})

describe('follow()', () => {
  const big = randomBytes(3_000_000)
  const bigBlob = { digest: digestOf(big), size: big.length }
  const readAll = async (digest: Digest) =>
    Buffer.concat(await Array.fromAsync(blobs.follow(digest, 'layer')))

  test('gives the bytes of a blob while they come, in order', async () => {
    const reading = Promise.withResolvers<Buffer>()
    await blobs.ingest('layer', bigBlob, async (writer) => {
      reading.resolve(readAll(bigBlob.digest))
      await writer.writeAt(2_000_000, big.subarray(2_000_000))
      for (let start = 0; start < 2_000_000; start += 100_000)
        await writer.writeAt(start, big.subarray(start, start + 100_000))
    })
    expect((await reading.promise).equals(big)).toBe(true)
    expect((await readAll(bigBlob.digest)).equals(big)).toBe(true)
  })

  test('gives what an earlier try left, too', async () => {
    await writeFile(partPath(path.join(folder, 'ingest'), bigBlob.digest), big.subarray(0, 1_500_000))
    const reading = Promise.withResolvers<Buffer>()
    await blobs.ingest('layer', bigBlob, async (writer) => {
      reading.resolve(readAll(bigBlob.digest))
      await writer.write(big.subarray(writer.sizeBytes))
    })
    expect((await reading.promise).equals(big)).toBe(true)
  })

  test('fails when the download fails, or starts over', async () => {
    const readings: Promise<PromiseSettledResult<Buffer>[]>[] = []
    const read = () => readings.push(Promise.allSettled([readAll(bigBlob.digest)]))
    const failing = blobs.ingest('layer', bigBlob, async (writer) => {
      read()
      await writer.write(big.subarray(0, 1_000_000))
      throw broken
    })
    await expect(failing).rejects.toThrow(broken)
    await blobs.ingest('layer', bigBlob, async (writer) => {
      read()
      await writer.restart()
      read()
      await writer.write(big)
    })
    const [failed, restarted, whole] = (await Promise.all(readings)).flat()
    expect(failed).toMatchObject({ status: 'rejected', reason: broken })
    expect(restarted).toMatchObject({ status: 'rejected', reason: { code: 'oci.registry' } })
    expect(whole).toMatchObject({ status: 'fulfilled' })
  })

  test('ends when its reader gives up, also while no bytes come', async () => {
    const giveUp = new AbortController()
    await blobs.ingest('layer', bigBlob, async (writer) => {
      const reading = Array.fromAsync(blobs.follow(bigBlob.digest, 'layer', giveUp.signal))
      giveUp.abort()
      await expect(reading).rejects.toThrow(coded('oci.cancelled'))
      await writer.write(big)
    })
  })

  test('says that there is no such blob', async () => {
    await expect(readAll(bigBlob.digest)).rejects.toThrow(coded('oci.not-found'))
  })
})

describe('a sweep', () => {
  const sweep = (dryRun = false) => {
    using held = blobs.holds.startSweep()
    return blobs.sweep({ isWanted: () => false, held, dryRun })
  }

  test('leaves alone what is held, and what was let go since it began', async () => {
    await blobs.put(content, 'layer')
    const hold = blobs.hold()
    hold.add(expected.digest)
    const held = blobs.holds.startSweep()
    hold[Symbol.dispose]()
    expect(await blobs.sweep({ isWanted: () => false, held })).toBe(0)
    held[Symbol.dispose]()
    expect(await sweep(true)).toBe(content.length)
    expect(await blobs.has(expected)).toBe(true)
    expect(await sweep()).toBe(content.length)
    expect(await blobs.has(expected)).toBe(false)
  })

  test('never takes a blob that somebody was told is there', async () => {
    for (let round = 0; round < 50; round++) {
      await blobs.put(content, 'layer')
      using held = blobs.holds.startSweep()
      const sweeping = blobs.sweep({ isWanted: () => false, held })
      if (round % 2 === 0) await stat(folder)
      using hold = blobs.hold()
      hold.add(expected.digest)
      const isHere = await blobs.has(expected)
      await sweeping
      expect(await blobs.has(expected)).toBe(isHere)
    }
  })
})

test('a symbolic link in the place of a blob is not followed', async () => {
  const target = path.join(folder, 'target')
  await writeFile(target, content)
  await symlink(target, blobs.pathOf(expected.digest))
  expect(await blobs.has(expected)).toBe(false)
  await expect(blobs.read(expected.digest, 'layer')).rejects.toThrow(coded('ELOOP'))
  await ingest(filling(content))
  expect(await readFile(blobs.pathOf(expected.digest))).toEqual(content)
  expect((await stat(blobs.pathOf(expected.digest))).mode & 0o777).toBe(0o444)
})

test('requireSpace() says how much is needed and how much there is', async () => {
  await blobs.requireSpace(1, 'pull web:1')
  await expect(blobs.requireSpace(2 ** 60, 'pull web:1')).rejects.toThrow(
    /^Cannot pull web:1: \d+ MiB needed, \d+ MiB free/,
  )
})
