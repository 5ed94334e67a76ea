// One pass over a layer, while it comes: decompress, check, take its contents into a segment and its entries into an index.

import type { FileHandle } from 'node:fs/promises'
import type { Digest } from '../digest.ts'
import { OciError } from '../errors.ts'
import { readLayer } from '../layer/read-layer.ts'
import type { TarHandler } from '../layer/tar-parser.ts'
import { LIMITS } from '../limits.ts'
import type { ImageFormat, SegmentWriter } from '../writers/image-format.ts'
import { LayerIndexEncoder } from './layer-index-codec.ts'
import { completeSegment, type LayerFigures } from './segment-file.ts'

export interface MakeSegmentOptions {
  /** An empty file, open for reading and writing. */
  readonly file: FileHandle
  readonly format: ImageFormat
  readonly diffId: Digest
  /** How errors name the layer. */
  readonly name: string
  readonly signal?: AbortSignal | undefined
}

/**
 * Makes the segment of a layer out of its stored bytes. The file is whole when this has resolved, and not synced.
 * Throws as `readLayer`.
 */
export async function makeSegment(
  source: AsyncIterable<Buffer>,
  { file, format, diffId, name, signal }: MakeSegmentOptions,
): Promise<LayerFigures> {
  const writer = format.openSegment(file)
  try {
    const index = new LayerIndexEncoder()
    const contents = new ContentTaker(writer, index, name)
    const ready = () => writer.ready()
    const tarBytes = await readLayer(source, { name, diffId, signal, ready }, contents)
    const { dataEnd, table } = await writer.finish()
    const figures = { entryCount: index.count, tarBytes, contentBytes: contents.contentBytes }
    await completeSegment(file, { format, diffId }, { ...figures, dataEnd, index: index.finish(), table })
    return figures
  } finally {
    await writer.close()
  }
}

/** Hands the contents of files to the segment, and every entry to the index. */
class ContentTaker implements TarHandler {
  readonly #writer: SegmentWriter
  readonly #index: LayerIndexEncoder
  readonly #name: string
  #isWriting = false
  contentBytes = 0

  constructor(writer: SegmentWriter, index: LayerIndexEncoder, name: string) {
    this.#writer = writer
    this.#index = index
    this.#name = name
  }

  entry: TarHandler['entry'] = (entry) => {
    this.#index.add(entry)
    this.#isWriting = entry.type === 'file' && entry.sizeBytes > 0
    if (!this.#isWriting) return
    // Holes are not stored in the layer: its own size says nothing about them.
    this.contentBytes += entry.sizeBytes
    if (this.contentBytes > LIMITS.imageUncompressedBytes) throw contentsTooLarge(this.#name)
    this.#writer.beginFile(entry.ordinal, entry.sizeBytes)
  }

  data: TarHandler['data'] = (chunk) => {
    if (this.#isWriting) this.#writer.write(chunk)
  }

  hole: TarHandler['hole'] = (sizeBytes) => {
    if (this.#isWriting) this.#writer.writeHole(sizeBytes)
  }

  end: TarHandler['end'] = () => {
    if (this.#isWriting) this.#writer.endFile()
    this.#isWriting = false
  }
}

function contentsTooLarge(name: string): OciError {
  const limitGiB = LIMITS.imageUncompressedBytes / 1024 ** 3
  return new OciError('oci.limit', `Cannot read ${name}: its files hold more than ${limitGiB} GiB`, {
    data: { which: 'imageUncompressedBytes' },
  })
}
