// A tar parser that is fed chunks (push) and keeps names as bytes. Reads ustar, v7, PAX and GNU archives with long
// names, sparse files, extended attributes and base-256 numbers. Where archives leave room for two readings it follows
// Go's archive/tar, which containerd and umoci use; whatever is malformed is an error, never skipped (CVE-2025-62518).

import { OciError } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import { type ByteString, quoted } from './byte-string.ts'
import { decimal, type PaxHeader, parsePaxHeader } from './pax-records.ts'
import {
  checkSparseMap,
  parseSparseList,
  SparseExpander,
  type SparseMap,
  SparseTextMap,
  tooManyRegions,
} from './sparse-map.ts'
import type { TarEntry } from './tar-entry.ts'
import { type EntryHeaders, entryPath, readEntry } from './tar-entry-fields.ts'
import {
  BLOCK_BYTES,
  isZeroBlock,
  numberOf,
  sparseFieldsOf,
  TarFormatError,
  TarLimitError,
  typeFlagOf,
  verifyChecksum,
} from './tar-header.ts'
import { TAR_LIMITS } from './tar-limits.ts'

/** What the parser tells as it goes. For a file: `entry`, then `data` and `hole` in order of position, then `end`. */
export interface TarHandler {
  entry(entry: TarEntry): void
  /** Bytes of the current file. The chunk shares memory with what was written to the parser. */
  data(chunk: Buffer): void
  /** A run of zeros that the archive does not store. */
  hole(sizeBytes: number): void
  /** The current file is complete. */
  end(): void
}

/** `x` and `g` are PAX headers, `L` and `K` the long names of GNU tar. */
const METADATA_FLAGS = 'xgLK'
const NO_RECORDS: PaxHeader = { values: new Map(), sparsePairs: [] }
/** A global header speaks of many entries; these would make them all one file. */
const NEVER_GLOBAL = ['path', 'linkpath', 'size']

type State = 'header' | 'metadata' | 'sparse-extension' | 'sparse-text' | 'data' | 'padding' | 'ended'

/** A file whose sparse map is still being read. */
interface PendingFile {
  readonly entry: TarEntry
  readonly realSizeBytes: number
  storedBytes: number
  readonly numbers: number[]
  readonly text: SparseTextMap
}

export class TarParser {
  readonly #layerName: string
  readonly #handler: TarHandler
  readonly #block = Buffer.alloc(BLOCK_BYTES)
  #state: State = 'header'
  #blockLength = 0
  /** Position in the archive, and where the current member began: for error messages. */
  #offset = 0
  #headerOffset = 0
  #path: ByteString | null = null
  /** Body bytes and then padding still to come of the current member. */
  #remaining = 0
  #padding = 0
  #zeroBlocks = 0
  #entryCount = 0
  #indexBytes = 0
  readonly #indexLimitBytes: number
  #metadata = Buffer.alloc(0)
  #metadataFlag = ''
  #globals: ReadonlyMap<ByteString, Buffer> = NO_RECORDS.values
  #records: PaxHeader | null = null
  #longName: ByteString | null = null
  #longLink: ByteString | null = null
  #pending: PendingFile | null = null
  #expander: SparseExpander | null = null

  /** `indexBytes` bounds the names, link targets and attributes of all entries together. */
  constructor(layerName: string, handler: TarHandler, indexBytes: number = TAR_LIMITS.indexBytes) {
    this.#layerName = layerName
    this.#handler = handler
    this.#indexLimitBytes = indexBytes
  }

  /** Takes the next bytes of the archive. Throws `oci.corrupt-layer` or `oci.limit` (data: which). */
  write(chunk: Buffer): void {
    try {
      this.#consume(chunk)
    } catch (error) {
      if (error instanceof TarLimitError) throw this.#refusal('oci.limit', error.message, error.which)
      if (error instanceof TarFormatError) throw this.#corrupt(error.message)
      throw error
    }
  }

  /** Tells the parser that the archive is over; without the two zero blocks at its end it is still accepted. */
  finish(): void {
    const isBetweenMembers = this.#state === 'header' && this.#blockLength === 0
    if (this.#state !== 'ended' && !isBetweenMembers) throw this.#corrupt('the archive is cut off')
    if (this.#records !== null || this.#longName !== null || this.#longLink !== null)
      throw this.#corrupt('an extended header is followed by no entry')
  }

  #consume(chunk: Buffer): void {
    let offset = 0
    while (offset < chunk.length && this.#state !== 'ended') {
      const start = offset
      if (this.#state === 'data' || this.#state === 'metadata') {
        offset += Math.min(this.#remaining, chunk.length - offset)
        this.#takeBody(chunk.subarray(start, offset))
      } else if (this.#state === 'padding') {
        offset += Math.min(this.#padding, chunk.length - offset)
        this.#padding -= offset - start
        if (this.#padding === 0) this.#state = 'header'
      } else if (this.#blockLength === 0 && chunk.length - offset >= BLOCK_BYTES) {
        offset += BLOCK_BYTES
        this.#takeBlock(chunk.subarray(start, offset), this.#offset)
      } else {
        offset += Math.min(BLOCK_BYTES - this.#blockLength, chunk.length - offset)
        chunk.copy(this.#block, this.#blockLength, start, offset)
        this.#blockLength += offset - start
        if (this.#blockLength === BLOCK_BYTES) {
          this.#blockLength = 0
          this.#takeBlock(this.#block, this.#offset + offset - start - BLOCK_BYTES)
        }
      }
      this.#offset += offset - start
    }
  }

  /** `position` is where in the archive the block begins. */
  #takeBlock(block: Buffer, position: number): void {
    if (this.#state === 'sparse-extension') this.#takeSparseExtension(block)
    else if (this.#state === 'sparse-text') this.#takeSparseText(block)
    else this.#takeHeader(block, position)
  }

  #takeHeader(block: Buffer, position: number): void {
    this.#headerOffset = position
    this.#path = null
    if (isZeroBlock(block)) {
      this.#zeroBlocks++
      if (this.#zeroBlocks === 2) this.#state = 'ended'
      return
    }
    if (this.#zeroBlocks > 0) throw new TarFormatError('a single zero block stands between two entries')
    verifyChecksum(block)
    const flag = typeFlagOf(block)
    if (METADATA_FLAGS.includes(flag)) this.#beginMetadata(flag, numberOf(block, 'size'))
    else this.#beginEntry(flag, block)
  }

  #takeBody(bytes: Buffer): void {
    if (this.#state === 'metadata') bytes.copy(this.#metadata, this.#metadata.length - this.#remaining)
    else if (this.#expander !== null) this.#expander.data(bytes)
    else this.#handler.data(bytes)
    this.#remaining -= bytes.length
    if (this.#remaining > 0) return
    const wasMetadata = this.#state === 'metadata'
    this.#state = this.#padding > 0 ? 'padding' : 'header'
    if (wasMetadata) this.#endMetadata()
    else this.#endFile()
  }

  #beginBody(state: 'metadata' | 'data', sizeBytes: number): void {
    const over = sizeBytes % BLOCK_BYTES
    this.#remaining = sizeBytes
    this.#padding = over === 0 ? 0 : BLOCK_BYTES - over
    this.#state = sizeBytes > 0 ? state : 'header'
  }

  #beginMetadata(flag: string, sizeBytes: number): void {
    if (sizeBytes < 0 || sizeBytes > TAR_LIMITS.metadataBytes)
      throw new TarLimitError(
        'tarMetadataBytes',
        `an extended header has ${sizeBytes} bytes, and 1 MiB is allowed`,
      )
    this.#metadataFlag = flag
    this.#metadata = Buffer.allocUnsafe(sizeBytes)
    this.#beginBody('metadata', sizeBytes)
    if (sizeBytes === 0) this.#endMetadata()
  }

  #endMetadata(): void {
    const bytes = this.#metadata
    switch (this.#metadataFlag) {
      case 'L':
        this.#longName = untilNul(bytes)
        return
      case 'K':
        this.#longLink = untilNul(bytes)
        return
      case 'x':
        if (this.#records !== null) throw new TarFormatError('two PAX headers follow each other')
        this.#records = parsePaxHeader(bytes)
        return
      case 'g':
        this.#addGlobals(parsePaxHeader(bytes))
    }
  }

  #addGlobals({ values, sparsePairs }: PaxHeader): void {
    const isSparse = sparsePairs.length > 0 || [...values.keys()].some((key) => key.startsWith('GNU.sparse.'))
    if (isSparse || NEVER_GLOBAL.some((key) => values.has(key)))
      throw new TarFormatError('a global PAX header sets a path, size or sparse map for all entries')
    const globals = new Map(this.#globals)
    for (const [key, value] of values) globals.set(key, Buffer.from(value))
    const bytes = [...globals].reduce((sum, [key, value]) => sum + key.length + value.length, 0)
    if (bytes > TAR_LIMITS.metadataBytes)
      throw new TarLimitError('tarMetadataBytes', 'its global PAX headers hold more than 1 MiB')
    this.#globals = globals
  }

  #beginEntry(flag: string, block: Buffer): void {
    const { values, sparsePairs } = this.#records ?? NO_RECORDS
    const records = this.#globals.size === 0 ? values : new Map([...this.#globals, ...values])
    const headers: EntryHeaders = { block, records, longName: this.#longName, longLink: this.#longLink }
    this.#records = null
    this.#longName = null
    this.#longLink = null
    this.#path = entryPath(headers)
    const entry = readEntry(headers, this.#path, this.#entryCount++)
    this.#checkLimits(entry)
    // As in Go's archive/tar, only files carry data, whatever the size of other entries says.
    if (entry.type !== 'file') this.#handler.entry(entry)
    else if (flag === 'S') this.#beginOldSparseFile(entry, block)
    else this.#beginFile(entry, records, sparsePairs)
  }

  #beginFile(entry: TarEntry, records: ReadonlyMap<string, Buffer>, sparsePairs: readonly number[]): void {
    const size = records.get('GNU.sparse.realsize') ?? records.get('GNU.sparse.size')
    const list = records.get('GNU.sparse.map')
    const isTextMap = records.get('GNU.sparse.major')?.toString('latin1') === '1'
    if (size === undefined) {
      if (isTextMap || list !== undefined || sparsePairs.length > 0)
        throw new TarFormatError('its sparse map comes without a size')
      this.#announce(entry, entry.sizeBytes, null)
      return
    }
    const numbers = list === undefined ? [...sparsePairs] : parseSparseList(list.toString('latin1'))
    const pending = pendingFile(entry, decimal('GNU.sparse.size', size), numbers)
    if (isTextMap) this.#awaitMap(pending, 'sparse-text')
    else this.#announceSparse(pending, numbers)
  }

  #beginOldSparseFile(entry: TarEntry, block: Buffer): void {
    const { numbers, isExtended } = sparseFieldsOf(block, 'header')
    const pending = pendingFile(entry, numberOf(block, 'sparseRealSize'), [...numbers])
    if (isExtended) this.#awaitMap(pending, 'sparse-extension')
    else this.#announceSparse(pending, numbers)
  }

  #awaitMap(pending: PendingFile, state: 'sparse-text' | 'sparse-extension'): void {
    this.#pending = pending
    this.#state = state
  }

  #takeSparseExtension(block: Buffer): void {
    const pending = this.#pending
    if (pending === null) throw new TarFormatError('a sparse extension belongs to no file')
    const { numbers, isExtended } = sparseFieldsOf(block, 'extension')
    pending.numbers.push(...numbers)
    if (pending.numbers.length / 2 > TAR_LIMITS.sparseRegions) throw tooManyRegions()
    if (!isExtended) this.#announceSparse(pending, pending.numbers)
  }

  #takeSparseText(block: Buffer): void {
    const pending = this.#pending
    if (pending === null || pending.storedBytes < BLOCK_BYTES)
      throw new TarFormatError('its sparse map is cut off')
    pending.storedBytes -= BLOCK_BYTES
    if (pending.text.addBlock(block)) this.#announceSparse(pending, pending.text.numbers)
  }

  #announceSparse({ entry, realSizeBytes, storedBytes }: PendingFile, numbers: readonly number[]): void {
    this.#pending = null
    const map = checkSparseMap(numbers, realSizeBytes, storedBytes)
    this.#announce({ ...entry, sizeBytes: realSizeBytes }, storedBytes, map)
  }

  #announce(entry: TarEntry, storedBytes: number, map: SparseMap | null): void {
    this.#handler.entry(entry)
    this.#expander = map === null ? null : new SparseExpander(map, this.#handler)
    this.#beginBody('data', storedBytes)
    if (storedBytes === 0) this.#endFile()
  }

  #endFile(): void {
    this.#expander?.end()
    this.#expander = null
    this.#handler.end()
  }

  #checkLimits({ path, linkTarget, xattrs }: TarEntry): void {
    this.#indexBytes += path.length + linkTarget.length
    for (const [name, value] of xattrs ?? []) this.#indexBytes += name.length + value.length
    if (this.#entryCount > LIMITS.layerEntries)
      throw this.#limit('layerEntries', `it has more than ${LIMITS.layerEntries} entries`)
    if (this.#indexBytes > this.#indexLimitBytes) {
      const limitMiB = this.#indexLimitBytes / 2 ** 20
      throw this.#limit('layerIndexBytes', `its names and attributes take more than ${limitMiB} MiB`)
    }
  }

  #limit(which: string, reason: string): OciError {
    return new OciError('oci.limit', `Cannot read ${this.#layerName}: ${reason}`, { data: { which } })
  }

  #corrupt(reason: string): OciError {
    return this.#refusal('oci.corrupt-layer', reason)
  }

  /** The error of the current member: names it, or where it stands when its name is not known yet. */
  #refusal(code: 'oci.corrupt-layer' | 'oci.limit', reason: string, which?: string): OciError {
    const where = this.#path === null ? `at byte ${this.#headerOffset}` : `entry ${quoted(this.#path)}`
    return new OciError(code, `Cannot read ${this.#layerName}, ${where}: ${reason}`, {
      data: {
        layer: this.#layerName,
        path: this.#path,
        offset: this.#headerOffset,
        ...(which === undefined ? {} : { which }),
      },
    })
  }
}

function pendingFile(entry: TarEntry, realSizeBytes: number, numbers: number[]): PendingFile {
  return { entry, realSizeBytes, storedBytes: entry.sizeBytes, numbers, text: new SparseTextMap() }
}

function untilNul(bytes: Buffer): ByteString {
  const terminator = bytes.indexOf(0)
  return bytes.toString('latin1', 0, terminator === -1 ? bytes.length : terminator)
}
