// One stream that a guest writes (stdout, stderr, a terminal, the console): always drained, remembered in a
// ring, handed to any number of readers by offset. Lossless readers hold the writer's credit back; lossy ones
// are told what they missed. DESIGN 4.6.
import type { ByteRing } from './byte-ring.ts'

export type OutputEvent =
  | { readonly kind: 'data'; readonly stream: number; readonly offset: number; readonly bytes: Uint8Array }
  /** `bytes` bytes were left out; `offset` is where the next one will be. */
  | { readonly kind: 'skip'; readonly stream: number; readonly offset: number; readonly bytes: number }
  | { readonly kind: 'end'; readonly stream: number; readonly offset: number }

export interface OutputStreamOptions {
  /** Its number on a stream connection: 1 stdout, 2 stderr. */
  readonly stream: number
  readonly ring: ByteRing
  /** What a lossless reader may lag behind before the writer waits. */
  readonly windowBytes?: number
  /** The writer may go on up to this offset. Called whenever that has grown by half a window or more. */
  readonly onLimit?: (limit: number) => void
  /** True while the writer must wait for another reason: a log that cannot keep up with the disk. */
  readonly isHeldBack?: () => boolean
}

export interface ReaderOptions {
  readonly lossless: boolean
  readonly from: 'start' | 'now' | number
}

const largestPieceBytes = 32 * 1024

export class OutputStream {
  readonly stream: number
  readonly ring: ByteRing
  readonly windowBytes: number
  readonly #onLimit: ((limit: number) => void) | undefined
  readonly #isHeldBack: () => boolean
  readonly #readers = new Set<OutputReader>()
  #ended = false
  #isForgotten = false
  #saidLimit: number

  constructor(options: OutputStreamOptions) {
    this.stream = options.stream
    this.ring = options.ring
    this.windowBytes = options.windowBytes ?? 256 * 1024
    this.#onLimit = options.onLimit
    this.#isHeldBack = options.isHeldBack ?? (() => false)
    this.#saidLimit = options.ring.end
  }

  get ended(): boolean {
    return this.#ended
  }

  /** Begins at `offset`, because what came before was read by another core host. Before the first byte only. */
  beginAt(offset: number): void {
    this.ring.beginAt(offset)
    this.#saidLimit = offset
  }

  append(bytes: Uint8Array, timeMs: number): void {
    if (this.#ended || bytes.length === 0) return
    this.ring.append(bytes, timeMs)
    for (const reader of this.#readers) reader.wake()
    this.reconsiderLimit()
  }

  end(): void {
    if (this.#ended) return
    this.#ended = true
    for (const reader of this.#readers) reader.wake()
  }

  /** The credit that the writer was told last; what a re-attached channel starts from. */
  get limit(): number {
    return this.#saidLimit
  }

  openReader(options: ReaderOptions): OutputReader {
    if (options.lossless) this.ring.reserve(2 * this.windowBytes)
    const reader = new OutputReader(this, options, () => {
      this.#readers.delete(reader)
      this.reconsiderLimit()
      if (this.#isForgotten) this.forget()
    })
    this.#readers.add(reader)
    return reader
  }

  /** Gives the memory back when the last reader has closed; the stream must have ended. */
  forget(): void {
    this.#isForgotten = true
    if (this.#readers.size === 0) this.ring.release()
  }

  /** Called when a reader has consumed something, or what held the writer back is over. */
  reconsiderLimit(): void {
    if (this.#ended || this.#isHeldBack()) return
    let slowest = this.ring.end
    for (const reader of this.#readers)
      if (reader.lossless) slowest = Math.min(slowest, reader.consumedOffset)
    const limit = slowest + this.windowBytes
    if (limit - this.#saidLimit < this.windowBytes / 2) return
    this.#saidLimit = limit
    this.#onLimit?.(limit)
  }
}

/** A place in an `OutputStream`, moved forward by `next`. */
export class OutputReader {
  readonly lossless: boolean
  readonly #source: OutputStream
  readonly #onClose: () => void
  #position: number
  #consumed: number
  #closed = false
  #wake: (() => void) | undefined

  constructor(source: OutputStream, options: ReaderOptions, onClose: () => void) {
    this.#source = source
    this.lossless = options.lossless
    this.#onClose = onClose
    const { start, end } = source.ring
    this.#position = options.from === 'start' ? 0 : options.from === 'now' ? end : options.from
    this.#consumed = this.lossless ? Math.max(start, this.#position) : 0
  }

  get consumedOffset(): number {
    return this.#consumed
  }

  /** What comes next, waiting for it; undefined when the reader was closed. At the end: `end`, once. */
  async next(mostBytes = largestPieceBytes): Promise<OutputEvent | undefined> {
    const { ring, stream } = this.#source
    for (;;) {
      if (this.#closed) return undefined
      if (this.#position < ring.start) {
        const offset = ring.start
        const bytes = offset - this.#position
        this.#position = offset
        return { kind: 'skip', stream, offset, bytes }
      }
      if (this.#position < ring.end) {
        const offset = this.#position
        const bytes = ring.read(offset, mostBytes)
        this.#position += bytes.length
        return { kind: 'data', stream, offset, bytes }
      }
      if (this.#source.ended) return { kind: 'end', stream, offset: ring.end }
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** All events up to and including `end`. */
  async *events(): AsyncGenerator<OutputEvent> {
    for (;;) {
      const event = await this.next()
      if (event === undefined) return
      yield event
      if (event.kind === 'end') return
    }
  }

  /** Everything before `offset` was taken by the one who reads. */
  consume(offset: number): void {
    if (!this.lossless || offset <= this.#consumed || offset > this.#position) return
    this.#consumed = offset
    this.#source.reconsiderLimit()
  }

  wake(): void {
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#onClose()
    this.wake()
  }
}
