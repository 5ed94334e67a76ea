// Writes an uncompressed EROFS image: the contents that the tree uses, copied from the segments of its layers, then the
// blocks of directories, the shared extended attributes, the inodes, and the superblock last of all. The same tree and
// segments always make the same bytes.

import { Breather } from '../../breather.ts'
import { writeFully } from '../../file-bytes.ts'
import { nodesOf } from '../../merge/tree.ts'
import type { OpenSegment, WriteImageOptions, WrittenImage } from '../image-format.ts'
import { numberNodes } from '../squashfs/node-numbering.ts'
import { piecesOf } from './content-place.ts'
import { type CopiedPiece, copyPieces } from './copy-pieces.ts'
import { encodeDirectoryBlock } from './directory-blocks.ts'
import { BLOCK_BYTES } from './format.ts'
import { type ImageLayout, planLayout } from './image-layout.ts'
import { nidOf, writeMetadata } from './metadata-writer.ts'
import { encodeSuperblock } from './superblock.ts'
import type { UsedContents } from './used-contents.ts'
import { XattrStore } from './xattr-store.ts'

/** Writes an image; see `ImageFormat.writeImage`. Throws `oci.limit`, `oci.cancelled`, or the system's error. */
export async function writeErofsImage(options: WriteImageOptions): Promise<WrittenImage> {
  const { file, root, segments, signal, onProgress } = options
  const numbering = numberNodes(root)
  const breather = new Breather(signal, 'write the image')
  const attributes = await XattrStore.collect(nodesOf(root), breather)
  const layout = await planLayout({ numbering, attributes, segments, breather })
  const { contents, planner, positions, metadata, xattrs, blockCount } = layout

  let bytesDone = 0
  const bytesTotal = contents.all.reduce(
    (sum, { place }) => sum + place.blockCount * BLOCK_BYTES,
    metadata.sizeBytes,
  )
  const advance = (bytes: number) => {
    bytesDone = Math.min(bytesDone + bytes, bytesTotal)
    onProgress?.(bytesDone, bytesTotal)
  }
  await copyPieces({ pieces: copiedPieces(contents, segments), target: file, signal, onCopied: advance })
  await writeOwnBlocks(options, layout, breather)
  await writeFully(file, xattrs.bytes, xattrs.firstBlock * BLOCK_BYTES)
  await writeMetadata({
    file,
    start: metadata.firstBlock * BLOCK_BYTES,
    sizeBytes: metadata.sizeBytes,
    segments,
    nodes: layout.nodes,
    positions,
    planOf: (node) => planner.plan(node, contents),
    breather,
    signal,
    onWritten: advance,
  })
  const sizeBytes = blockCount * BLOCK_BYTES
  await file.truncate(sizeBytes)
  const superblock = encodeSuperblock({
    rootNid: nidOf(positions[0] ?? 0),
    inodeCount: numbering.inodeCount,
    epoch: layout.epoch,
    blockCount,
    metadataBlock: metadata.firstBlock,
    sharedXattrBlock: xattrs.firstBlock,
    hasChunkedFiles: contents.all.some(({ place }) => place.chunks !== null),
  })
  await writeFully(file, superblock, 0)
  return { sizeBytes, inodeCount: numbering.inodeCount }
}

function* copiedPieces(
  contents: UsedContents,
  segments: readonly OpenSegment[],
): Generator<CopiedPiece, void, void> {
  for (const { layer, stored, place } of contents.all) {
    const segment = segments[layer]
    if (segment === undefined) throw new Error(`there is no segment ${layer}`)
    for (const { from, to, sizeBytes } of piecesOf(stored, place))
      yield { file: segment.file, from, to: place.firstBlock * BLOCK_BYTES + to, sizeBytes }
  }
}

/** Writes the blocks of directories, and the targets of symbolic links that find no room beside their inodes. */
async function writeOwnBlocks(
  { file }: WriteImageOptions,
  { ownBlocks, planner, positions }: ImageLayout,
  breather: Breather,
): Promise<void> {
  for (const { node, firstBlock } of ownBlocks) {
    const blocks = planner.ownBlocks(node)
    const bytes = Buffer.alloc(blocks.length * BLOCK_BYTES)
    for (const [index, block] of blocks.entries()) {
      if (breather.isDue()) await breather.breathe()
      const target = bytes.subarray(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES)
      if (Buffer.isBuffer(block)) block.copy(target)
      else encodeDirectoryBlock(block, target, (number) => nidOf(positions[number - 1] ?? 0))
    }
    await writeFully(file, bytes, firstBlock * BLOCK_BYTES)
  }
}
