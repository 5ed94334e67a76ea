// Layers that are small and ask for much.

import { createHash, randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import {
  file,
  memberBytes,
  metadataMember,
  paxRecord,
  type TarMember,
  withChecksum,
} from '../../../core/oci/layer/testing/tar-writer.ts'

const MIB = 1024 * 1024
const GIB = 1024 * MIB
const END = Buffer.alloc(1024)

export interface BombLayer {
  readonly path: string
  readonly digest: string
  readonly diffId: string
  readonly storedBytes: number
}

type Compression = 'none' | 'gzip' | 'zstd'

const compressors: Readonly<Record<Compression, (bytes: Buffer) => Buffer>> = {
  none: (bytes) => bytes,
  gzip: (bytes) => gzipSync(bytes, { level: 9 }),
  zstd: (bytes) => zstdCompressSync(bytes),
}

/** Writes a tar that is made of parts, each of them many times in a row: a member or frame of its own each time. */
async function writeLayer(
  path: string,
  compression: Compression,
  parts: Iterable<readonly [bytes: Buffer, times: number]>,
): Promise<BombLayer> {
  const diffId = createHash('sha256')
  const stored: Buffer[] = []
  for (const [bytes, times] of parts) {
    const compressed = compressors[compression](bytes)
    for (let count = 0; count < times; count++) {
      diffId.update(bytes)
      stored.push(compressed)
    }
  }
  const layer = Buffer.concat(stored)
  await writeFile(path, layer)
  const digest = createHash('sha256').update(layer).digest('hex')
  return {
    path,
    digest: `sha256:${digest}`,
    diffId: `sha256:${diffId.digest('hex')}`,
    storedBytes: layer.length,
  }
}

/** A file of zeros, so many MiB: legal, and next to nothing when compressed. */
export function zeros(path: string, compression: Compression, sizeMiB: number): Promise<BombLayer> {
  return writeLayer(path, compression, [
    [memberBytes({ ...file('zeros'), sizeField: sizeMiB * MIB }), 1],
    [Buffer.alloc(64 * MIB), sizeMiB / 64],
    [END, 1],
  ])
}

/** So many empty files in folders of a thousand. */
export function manyEntries(path: string, count: number): Promise<BombLayer> {
  return writeLayer(path, 'zstd', entryBatches(count))
}

function* entryBatches(count: number): Generator<readonly [Buffer, number], void, void> {
  const batchEntries = 20_000
  for (let first = 0; first < count; first += batchEntries) {
    const entries = Math.min(batchEntries, count - first)
    const batch = Buffer.alloc(entries * 512)
    const header = memberBytes(file('d0000/f000'))
    for (let entry = 0; entry < entries; entry++) {
      const number = String(first + entry).padStart(7, '0')
      header.write(`d${number.slice(0, 4)}/f${number.slice(4)}`, 0, 'latin1')
      withChecksum(header)
      header.copy(batch, entry * 512)
    }
    yield [batch, 1]
  }
  yield [END, 1]
}

/** A path of 1 MiB in a long name of GNU tar. */
export function longPath(path: string): Promise<BombLayer> {
  const name = Buffer.from(`${'d/'.repeat(MIB / 2 - 1)}f\0`)
  return writeLayer(path, 'gzip', [
    [Buffer.concat([metadataMember('L', name), memberBytes(file('f')), END]), 1],
  ])
}

/** A PAX header that announces 1 GiB. */
export function largePaxHeader(path: string): Promise<BombLayer> {
  const header = memberBytes({ path: 'pax', flag: 'x', sizeField: GIB })
  return writeLayer(path, 'gzip', [
    [header, 1],
    [Buffer.alloc(64 * MIB, 'A'), 1],
  ])
}

/** A sparse file of so many regions of one byte, 16 bytes apart, its map in front of its data (PAX 1.0). */
export function manyRegions(path: string, count: number): Promise<BombLayer> {
  const lines = Array.from({ length: count }, (_, region) => `${region * 16}\n1\n`)
  const map = Buffer.from(`${count}\n${lines.join('')}`)
  const padding = Buffer.alloc((512 - (map.length % 512)) % 512)
  const pax = {
    'GNU.sparse.major': '1',
    'GNU.sparse.minor': '0',
    'GNU.sparse.name': 'sparse',
    'GNU.sparse.realsize': String(count * 16),
  }
  const member: TarMember = {
    path: 'x',
    content: Buffer.concat([map, padding, Buffer.alloc(count, 'x')]),
    pax,
  }
  return writeLayer(path, 'zstd', [
    [memberBytes(member), 1],
    [END, 1],
  ])
}

/** A sparse file that says that it has 200 GiB, of which none are stored. */
export function largeHole(path: string): Promise<BombLayer> {
  const pax = { 'GNU.sparse.size': String(200 * GIB), 'GNU.sparse.name': 'hole', 'GNU.sparse.map': '' }
  return writeLayer(path, 'none', [[Buffer.concat([memberBytes(file('x', '', { pax })), END]), 1]])
}

/** Extended attributes in every member, as many as the headers can hold. */
export function manyAttributes(path: string): Promise<BombLayer> {
  const records = Array.from({ length: 15 }, (_, index) =>
    paxRecord(`SCHILY.xattr.user.x${index}`, index === 0 ? randomBytes(65_000) : Buffer.alloc(65_000, index)),
  )
  const member = Buffer.concat([metadataMember('x', Buffer.concat(records)), memberBytes(file('f'))])
  return writeLayer(path, 'zstd', [
    [member, 300],
    [END, 1],
  ])
}
