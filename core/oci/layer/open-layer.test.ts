import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { constants, gzipSync, zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openLayer } from './open-layer.ts'

const MIB = 1024 * 1024

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'open-layer-'))
})
afterAll(() => rm(folder, { recursive: true }))

async function stored(content: Buffer): Promise<string> {
  const path = join(folder, randomBytes(6).toString('hex'))
  await writeFile(path, content)
  return path
}

async function read(content: Buffer, signal?: AbortSignal): Promise<Buffer> {
  const chunks: Buffer[] = []
  const path = await stored(content)
  for await (const chunk of openLayer({ path, layerName: 'layer 1', signal })) chunks.push(chunk)
  return Buffer.concat(chunks)
}

function skippable(sizeBytes: number): Buffer {
  const bytes = Buffer.alloc(8 + sizeBytes)
  bytes.writeUInt32LE(0x184d2a50, 0)
  bytes.writeUInt32LE(sizeBytes, 4)
  return bytes
}

const text = Buffer.alloc(3 * MIB, 'some text that repeats. ')
const noise = randomBytes(2 * MIB)
const tail = Buffer.from('the tail')
/** A gzip member of exactly `sizeBytes`: an unpacked one with a comment of the right length (RFC 1952 §2.3.1). */
function memberOfSize(sizeBytes: number): { member: Buffer; content: Buffer } {
  const content = noise.subarray(0, MIB - 1000)
  const plain = gzipSync(content, { level: 0 })
  const header = Buffer.from(plain.subarray(0, 10))
  header[3] = 0x10
  const comment = Buffer.alloc(sizeBytes - plain.length, 'c')
  comment[comment.length - 1] = 0
  return { member: Buffer.concat([header, comment, plain.subarray(10)]), content }
}

describe('openLayer() reads', () => {
  const border = memberOfSize(MIB)
  test.each<[string, Buffer, Buffer]>([
    ['a plain tar', text, text],
    ['an empty file', Buffer.alloc(0), Buffer.alloc(0)],
    ['gzip', gzipSync(text), text],
    [
      'gzip with several members',
      Buffer.concat([text, noise, tail].map((part) => gzipSync(part))),
      Buffer.concat([text, noise, tail]),
    ],
    ['gzip with an empty member', Buffer.concat([gzipSync(''), gzipSync(tail)]), tail],
    ['gzip with zeros behind it', Buffer.concat([gzipSync(text), Buffer.alloc(3 * MIB)]), text],
    [
      'gzip whose member ends where a read ends',
      Buffer.concat([border.member, gzipSync(tail)]),
      Buffer.concat([border.content, tail]),
    ],
    [
      'gzip whose member ends where a read ends, with zeros behind it',
      Buffer.concat([border.member, Buffer.alloc(2 * MIB)]),
      border.content,
    ],
    ['zstd', zstdCompressSync(text), text],
    [
      'zstd with several frames',
      Buffer.concat([text, noise, tail].map((part) => zstdCompressSync(part))),
      Buffer.concat([text, noise, tail]),
    ],
    [
      'zstd with skippable frames',
      Buffer.concat([
        skippable(9),
        zstdCompressSync(text),
        skippable(0),
        zstdCompressSync(tail),
        skippable(3 * MIB),
      ]),
      Buffer.concat([text, tail]),
    ],
  ])('%s', async (_, content, expected) => {
    expect((await read(content)).equals(expected)).toBe(true)
  })
})

describe('openLayer() refuses', () => {
  const badChecksum = zstdCompressSync(text, { params: { [constants.ZSTD_c_checksumFlag]: 1 } })
  badChecksum[badChecksum.length - 1] = (badChecksum.at(-1) ?? 0) ^ 0xff
  const damaged = gzipSync(text)
  damaged.fill(0xff, 2000, 2100)
  test.each<[string, Buffer, RegExp]>([
    ['gzip that is cut off', gzipSync(noise).subarray(0, MIB), /cut off/],
    ['gzip that is damaged', damaged, /damaged/],
    ['junk behind gzip', Buffer.concat([gzipSync(text), Buffer.from('junk')]), /damaged/],
    ['zstd that is cut off', zstdCompressSync(noise).subarray(0, MIB), /cut off/],
    ['zstd with a wrong checksum', badChecksum, /damaged/],
    ['junk behind zstd', Buffer.concat([zstdCompressSync(text), Buffer.from('junk')]), /magic number/],
    ['xz', Buffer.from('fd377a585a000004', 'hex'), /compressed with xz/],
    ['bzip2', Buffer.from('BZh91AY&SY'), /compressed with bzip2/],
    ['lz4', Buffer.from('04224d186440a7', 'hex'), /compressed with lz4/],
  ])('%s', async (_, content, reason) => {
    await expect(read(content)).rejects.toThrow(reason)
  })

  test('a window of more than 128 MiB, which would take as much memory', async () => {
    // RFC 8878 §3.1.1: no content size, a window of 2^(10+17) or 2^(10+18) bytes, one raw block "abc".
    const frame = (exponent: number) =>
      Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, exponent << 3, 0x19, 0, 0, 97, 98, 99])
    expect(String(await read(frame(17)))).toBe('abc')
    await expect(read(frame(18))).rejects.toThrow(/damaged/)
  })
})

describe('openLayer() and its caller', () => {
  test('an aborted read ends with oci.cancelled', async () => {
    const abort = new AbortController()
    const path = await stored(gzipSync(Buffer.alloc(40 * MIB)))
    const reading = async () => {
      for await (const chunk of openLayer({ path, layerName: 'layer 1', signal: abort.signal }))
        if (chunk.length > 0) abort.abort()
    }
    await expect(reading()).rejects.toMatchObject({ code: 'oci.cancelled' })
  })

  test('a caller that stops early leaves nothing running', async () => {
    const path = await stored(gzipSync(Buffer.alloc(40 * MIB)))
    for await (const chunk of openLayer({ path, layerName: 'layer 1' })) {
      expect(chunk.length).toBeGreaterThan(0)
      break
    }
    await rm(path)
  })

  test('a missing file is the error of the system', async () => {
    const path = join(folder, 'absent')
    const reading = openLayer({ path, layerName: 'layer 1' }).next()
    await expect(reading).rejects.toMatchObject({ code: 'ENOENT' })
  })
})
