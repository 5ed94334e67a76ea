// Parsers of layers, of archives, and of what we have written ourselves and read again.

import { mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { digestOf } from '../../../core/oci/digest.ts'
import { OciError } from '../../../core/oci/errors.ts'
import { importArchive } from '../../../core/oci/import/import-archive.ts'
import { decompressLayer } from '../../../core/oci/layer/open-layer.ts'
import { parsePaxHeader } from '../../../core/oci/layer/pax-records.ts'
import { xattrsOf } from '../../../core/oci/layer/pax-xattrs.ts'
import { checkSparseMap, parseSparseList, SparseTextMap } from '../../../core/oci/layer/sparse-map.ts'
import type { TarEntry } from '../../../core/oci/layer/tar-entry.ts'
import { TarFormatError } from '../../../core/oci/layer/tar-header.ts'
import { TarParser } from '../../../core/oci/layer/tar-parser.ts'
import { paxRecord } from '../../../core/oci/layer/testing/tar-writer.ts'
import { ZstdFrameSplitter } from '../../../core/oci/layer/zstd-frame-splitter.ts'
import { mergeLayers } from '../../../core/oci/merge/merge-layers.ts'
import { decodeLayerIndex } from '../../../core/oci/segments/layer-index-codec.ts'
import { makeSegment } from '../../../core/oci/segments/make-segment.ts'
import { openSegment } from '../../../core/oci/segments/segment-file.ts'
import { ImageStore } from '../../../core/oci/store/image-store.ts'
import { ContentTable } from '../../../core/oci/writers/erofs/content-table.ts'
import { EROFS } from '../../../core/oci/writers/erofs/erofs-format.ts'
import { squashfsFormat } from '../../../core/oci/writers/squashfs/squashfs-format.ts'
import type { FuzzTarget } from './fuzz.ts'
import { dockerArchive, layoutArchive, sparseTars, variedTar, withChecksums } from './samples.ts'

const SQUASHFS = squashfsFormat()

/** What a parser says of an archive: entries, and how many bytes of content came how. */
interface Account {
  readonly entries: TarEntry[]
  /** Data and holes of each file, summed up. */
  readonly contentBytes: number[]
}

function parseTar(input: Buffer, pieceBytes: number): Account {
  const account: Account = { entries: [], contentBytes: [] }
  let bytes = 0
  const parser = new TarParser('layer 1', {
    entry(entry) {
      account.entries.push(entry)
      bytes = 0
    },
    data(chunk) {
      bytes += chunk.length
    },
    hole(sizeBytes) {
      if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0) throw new Error(`a hole of ${sizeBytes} bytes`)
      bytes += sizeBytes
    },
    end() {
      const { sizeBytes, path } = account.entries.at(-1) as TarEntry
      if (bytes !== sizeBytes) throw new Error(`${path} has ${bytes} bytes, ${sizeBytes} were announced`)
      account.contentBytes.push(bytes)
    },
  })
  for (let offset = 0; offset < input.length; offset += pieceBytes)
    parser.write(input.subarray(offset, offset + pieceBytes))
  parser.finish()
  return account
}

/** The outcome of a call, to be compared: its result, or how it refuses. */
function outcomeOf(run: () => unknown): string {
  try {
    return JSON.stringify(run())
  } catch (error) {
    if (error instanceof OciError) return `${error.code} ${error.message}`
    throw error
  }
}

const mayRefuseFormat = (error: unknown) => error instanceof TarFormatError

async function* once(bytes: Buffer): AsyncGenerator<Buffer, void, void> {
  yield bytes
}

async function inFolder<Result>(use: (folder: string) => Promise<Result>): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), 'fuzz-'))
  try {
    return await use(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** Makes images of a layer, in both formats, and looks at them. */
async function buildImages(tar: Buffer): Promise<void> {
  await inFolder(async (folder) => {
    for (const format of [EROFS, SQUASHFS]) {
      const path = join(folder, `${format.name}.segment`)
      const identity = { format, diffId: digestOf(tar) }
      {
        await using file = await open(path, 'wx+')
        await makeSegment(once(tar), { file, ...identity, name: 'layer 1' })
      }
      const segment = await openSegment(path, identity)
      if (segment === undefined) throw new Error('the segment is not what was written')
      await using _ = segment.file
      const { index, entryCount, tarBytes } = segment
      const entries = decodeLayerIndex(index, entryCount)
      const root = mergeLayers([{ name: 'layer 1', entries, tarBytes }])
      await using image = await open(join(folder, format.name), 'wx+')
      const { sizeBytes } = await format.writeImage({ file: image, root, segments: [segment] })
      await format.check(image, sizeBytes)
    }
  })
}

/** A segment file whose trailer proves it; damaged, it must be as good as none, or hold what it held. */
async function openDamaged(input: Buffer): Promise<void> {
  await inFolder(async (folder) => {
    const path = join(folder, 'segment')
    await writeFile(path, input)
    const segment = await openSegment(path, segmentIdentity)
    if (segment === undefined) return
    await using _ = segment.file
    if (!segment.index.equals(segmentIndex) || !segment.table.equals(segmentTable))
      throw new Error('a damaged segment was believed')
  })
}

const segmentIdentity = { format: EROFS, diffId: digestOf(variedTar) }
const {
  bytes: segmentBytes,
  index: segmentIndex,
  table: segmentTable,
  entryCount,
  dataEnd,
} = await inFolder(async (folder) => {
  const path = join(folder, 'segment')
  await using file = await open(path, 'wx+')
  await makeSegment(once(variedTar), { file, ...segmentIdentity, name: 'layer 1' })
  const segment = await openSegment(path, segmentIdentity)
  if (segment === undefined) throw new Error('the segment is not what was written')
  await using opened = segment.file
  return { bytes: await opened.readFile(), ...segment }
})

export const binaryTargets: readonly FuzzTarget[] = [
  {
    name: 'tar',
    corpus: [variedTar, ...sparseTars],
    repair: withChecksums,
    run(input) {
      const whole = outcomeOf(() => parseTar(input, Math.max(1, input.length)))
      const pieces = outcomeOf(() => parseTar(input, 509))
      if (whole !== pieces) throw new Error(`read in pieces: ${pieces}, as a whole: ${whole}`)
    },
  },
  {
    name: 'PAX header',
    corpus: [
      Buffer.concat([
        paxRecord('path', 'a/b'),
        paxRecord('mtime', '1700000000.123'),
        paxRecord('SCHILY.xattr.user.x', Buffer.from([0, 1, 255])),
        paxRecord('LIBARCHIVE.xattr.user.y', 'AAE='),
        paxRecord('GNU.sparse.offset', '0'),
        paxRecord('GNU.sparse.numbytes', '10'),
      ]),
    ],
    run: (input) => xattrsOf(parsePaxHeader(input).values),
    mayRefuseWith: mayRefuseFormat,
  },
  {
    name: 'sparse list',
    corpus: [Buffer.from('0,512,4096,10')],
    run: (input) => checkSparseMap(parseSparseList(input.toString('latin1')), 1_000_000, 522),
    mayRefuseWith: mayRefuseFormat,
  },
  {
    name: 'sparse map in the data',
    corpus: [Buffer.concat([Buffer.from('2\n0\n512\n4096\n10\n'), Buffer.alloc(512 - 16)])],
    run(input) {
      const map = new SparseTextMap()
      for (let offset = 0; offset + 512 <= input.length; offset += 512)
        if (map.addBlock(input.subarray(offset, offset + 512))) return
    },
    mayRefuseWith: mayRefuseFormat,
  },
  {
    name: 'zstd frames',
    corpus: [
      Buffer.concat([zstdCompressSync(Buffer.from('one')), zstdCompressSync(Buffer.alloc(300_000, 'two '))]),
    ],
    run(input) {
      const split = (pieceBytes: number) => {
        const splitter = new ZstdFrameSplitter('layer 1')
        let bytes = 0
        for (let offset = 0; offset < input.length; offset += pieceBytes)
          for (const piece of splitter.split(input.subarray(offset, offset + pieceBytes)))
            bytes += piece.length
        splitter.finish()
        return bytes
      }
      if (outcomeOf(() => split(Math.max(1, input.length))) !== outcomeOf(() => split(3)))
        throw new Error('pieces matter')
    },
  },
  {
    name: 'compressed layer',
    corpus: [variedTar, gzipSync(variedTar), zstdCompressSync(variedTar)],
    share: 0.2,
    async run(input) {
      let bytes = 0
      for await (const chunk of decompressLayer(once(input), { layerName: 'layer 1' })) bytes += chunk.length
      return bytes
    },
  },
  {
    name: 'layer to images',
    corpus: [variedTar, ...sparseTars],
    share: 0.04,
    repair: withChecksums,
    run: buildImages,
  },
  {
    name: 'import',
    corpus: [dockerArchive, layoutArchive],
    share: 0.04,
    repair: withChecksums,
    run: (input) =>
      inFolder(async (folder) => {
        await using store = await ImageStore.open(folder, EROFS)
        await importArchive(once(input), store, { platform: { os: 'linux', architecture: 'amd64' } })
      }),
  },
  { name: 'segment file', corpus: [segmentBytes], share: 0.1, run: openDamaged },
  {
    name: 'layer index',
    corpus: [segmentIndex],
    run: (input) => [...decodeLayerIndex(input, entryCount)],
    // Only what has its hash is ever decoded; but what is not must not do harm either.
    mayRefuseWith: (error) => error instanceof RangeError,
  },
  {
    name: 'EROFS table of contents',
    corpus: [segmentTable],
    run(input) {
      const table = new ContentTable(input, dataEnd)
      for (let ordinal = 0; ordinal < entryCount; ordinal++) {
        const number = table.contentOf(ordinal)
        if (number === undefined) continue
        const { firstBlock, extents, tailPosition, tailBytes } = table.content(number)
        const blocks = extents.reduce((sum, { blockCount }) => sum + blockCount, 0)
        if ((firstBlock + blocks) * 4096 > dataEnd || tailPosition + tailBytes > dataEnd)
          throw new Error(`content ${number} leads out of its segment`)
      }
    },
  },
]
