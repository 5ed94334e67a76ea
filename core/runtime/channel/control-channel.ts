// The core host's side of a guest's control channel: streams with credits, the program's fate, commands to
// guest-init. docs/contracts/channel.md. The ring itself is moved by core/xen; here frames get their meaning.

import type { OutputStream } from '../broker/output-stream.ts'
import { GuestError } from '../errors.ts'
import {
  creditFrame,
  dataFrame,
  decodeGuestFrame,
  endFrame,
  type Frame,
  firstLimitBytes,
  frameTypes,
  type GuestMessage,
  helloFrame,
  maxDataBytes,
  resizeFrame,
  shutdownFrame,
  signalFrame,
  stderrStream,
  stdinStream,
  stdoutStream,
} from './frames.ts'

/** How frames reach the guest's ring. */
export interface FrameLink {
  /** False where the ring is full; `writable` is called on the channel when it may be tried again. */
  send(frame: Frame): boolean
}

/** What the guest says of itself and of its program. Every word of it is a claim. */
export type GuestNews = Extract<
  GuestMessage,
  { type: 'ready' | 'started' | 'exec-failed' | 'exited' | 'failed' }
>

export interface ControlChannelOptions {
  readonly link: FrameLink
  /** Random, new for each attachment. */
  readonly epoch: number
  readonly stdout: OutputStream
  /** Absent where the program has a terminal. */
  readonly stderr?: OutputStream | undefined
  readonly stdin: boolean
  /** True where an earlier core host read from this channel: streams begin where the guest says. */
  readonly adopted: boolean
  readonly now: () => number
  readonly onNews: (news: GuestNews) => void
  /** The guest broke the contract; the channel must be detached. */
  readonly onBroken: (error: GuestError) => void
}

interface InputPiece {
  readonly bytes: Uint8Array
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

const controlQueueLimit = 256

export class ControlChannel {
  readonly #options: ControlChannelOptions
  readonly #outputs = new Map<number, { output: OutputStream; next: number | undefined; limit: number }>()
  #answered = false
  #broken = false
  #control: Frame[] = []
  readonly #credits = new Map<number, number>()
  #input: InputPiece[] = []
  #inputOffset = 0
  #inputLimit = firstLimitBytes
  #inputEnd: 'open' | 'wanted' | 'sent' = 'open'

  constructor(options: ControlChannelOptions) {
    this.#options = options
    const first = options.adopted ? undefined : 0
    this.#outputs.set(stdoutStream, { output: options.stdout, next: first, limit: firstLimitBytes })
    if (options.stderr)
      this.#outputs.set(stderrStream, { output: options.stderr, next: first, limit: firstLimitBytes })
    if (!options.stdin) this.#inputEnd = 'sent'
    this.#control.push(helloFrame(options.epoch))
    this.#pump()
  }

  get broken(): boolean {
    return this.#broken
  }

  /** Frames in the order the guest sent them. */
  receive(frames: readonly Frame[]): void {
    for (const frame of frames) {
      if (this.#broken) return
      try {
        this.#take(decodeGuestFrame(frame))
      } catch (error) {
        this.#break(
          error instanceof GuestError
            ? error
            : new GuestError('guest.channel-protocol', String(error), { cause: error }),
        )
      }
    }
    this.#pump()
  }

  /** The ring has room again. */
  writable(): void {
    this.#pump()
  }

  /** Tells the writer of `stream` that it may go on up to `limit`. */
  credit(stream: number, limit: number): void {
    const known = this.#outputs.get(stream)
    if (known === undefined || limit <= known.limit) return
    known.limit = limit
    this.#credits.set(stream, limit)
    this.#pump()
  }

  /** Resolves when the guest's ring has taken all of `bytes`; rejects when nobody will read them. */
  write(bytes: Uint8Array): Promise<void> {
    if (this.#inputEnd !== 'open' || this.#broken)
      return Promise.reject(
        new GuestError('stream.input-closed', "Cannot write to the guest: the program's stdin is closed"),
      )
    return new Promise((resolve, reject) => {
      this.#input.push({ bytes, resolve, reject })
      this.#pump()
    })
  }

  /** The end of stdin, after all that was written. */
  endInput(): void {
    if (this.#inputEnd !== 'open') return
    this.#inputEnd = 'wanted'
    this.#pump()
  }

  resize(rows: number, columns: number): void {
    this.#queue(resizeFrame(rows, columns))
  }

  signal(signal: number, group = false): void {
    this.#queue(signalFrame(signal, group))
  }

  shutdown(): void {
    this.#queue(shutdownFrame())
  }

  /** Nothing more will come or go: what waits to be written is rejected. */
  close(): void {
    this.#broken = true
    this.#rejectInput('the guest is gone')
  }

  #queue(frame: Frame): void {
    if (this.#broken || this.#control.length >= controlQueueLimit) return
    this.#control.push(frame)
    this.#pump()
  }

  #take(message: GuestMessage): void {
    switch (message.type) {
      case 'hello':
        this.#takeHello(message)
        return
      case 'data':
        this.#takeData(message.stream, message.offset, message.bytes)
        return
      case 'end': {
        const known = this.#output(message.stream)
        if (known.next !== undefined && known.next !== message.offset)
          throw protocolError(
            `stream ${message.stream} ending at ${message.offset}, but ${known.next} bytes of it`,
          )
        known.output.end()
        return
      }
      case 'credit':
        if (message.stream !== stdinStream || message.limit < this.#inputLimit)
          throw protocolError(`a credit of ${message.limit} for stream ${message.stream}`)
        this.#inputLimit = message.limit
        return
      default:
        this.#options.onNews(message)
    }
  }

  #takeHello(message: Extract<GuestMessage, { type: 'hello' }>): void {
    if (message.version !== 1) throw protocolError(`a hello of version ${message.version}`)
    // The answer to an attachment before ours, still in the ring.
    if (message.epoch !== this.#options.epoch) return
    for (const entry of message.streams) {
      if (entry.stream === stdinStream && entry.direction === 1) {
        this.#inputOffset = entry.offset
        this.#inputLimit = entry.limit
        if (entry.ended) this.#closeInput()
      }
      const known = this.#outputs.get(entry.stream)
      if (known === undefined || entry.direction !== 0) continue
      this.#begin(known, entry.offset)
      known.limit = Math.max(known.limit, entry.limit)
      if (entry.ended) known.output.end()
    }
    this.#answered = true
  }

  #takeData(stream: number, offset: number, bytes: Uint8Array): void {
    const known = this.#output(stream)
    this.#begin(known, offset)
    if (known.next !== offset)
      throw protocolError(`byte ${offset} of stream ${stream} where ${known.next} was next`)
    if (known.output.ended) throw protocolError(`bytes of stream ${stream} after its end`)
    // What the earlier core host had granted is known only once the guest has answered.
    const limitKnown = !this.#options.adopted || this.#answered
    if (limitKnown && offset + bytes.length > known.limit)
      throw protocolError(
        `byte ${offset + bytes.length} of stream ${stream}, beyond its credit of ${known.limit}`,
      )
    known.next += bytes.length
    known.output.append(bytes, this.#options.now())
  }

  /** An adopted stream begins where the guest is: what came before was read by the core host before us. */
  #begin(known: { output: OutputStream; next: number | undefined }, offset: number): void {
    if (known.next !== undefined) return
    known.next = offset
    if (known.output.ring.end < offset) known.output.beginAt(offset)
  }

  #output(stream: number): { output: OutputStream; next: number | undefined; limit: number } {
    const known = this.#outputs.get(stream)
    if (known === undefined) throw protocolError(`stream ${stream}, which is not open`)
    return known
  }

  #pump(): void {
    if (this.#broken) return
    const { link } = this.#options
    if (!this.#answered) {
      // Only our hello may go before the guest has answered it.
      const [hello] = this.#control
      if (hello?.type === frameTypes.hello && link.send(hello)) this.#control.shift()
      return
    }
    for (const [stream, limit] of this.#credits) {
      if (!link.send(creditFrame(stream, limit))) return
      this.#credits.delete(stream)
    }
    for (let frame = this.#control[0]; frame !== undefined; frame = this.#control[0]) {
      if (!link.send(frame)) return
      this.#control.shift()
    }
    for (let piece = this.#input[0]; piece !== undefined; piece = this.#input[0]) {
      const room = Math.min(this.#inputLimit - this.#inputOffset, maxDataBytes)
      if (piece.bytes.length > 0 && room <= 0) return
      const part = piece.bytes.subarray(0, room)
      if (part.length > 0) {
        if (!link.send(dataFrame(stdinStream, this.#inputOffset, part))) return
        this.#inputOffset += part.length
      }
      const rest = piece.bytes.subarray(part.length)
      if (rest.length > 0) {
        this.#input[0] = { ...piece, bytes: rest }
      } else {
        this.#input.shift()
        piece.resolve()
      }
    }
    if (this.#inputEnd === 'wanted' && link.send(endFrame(stdinStream, this.#inputOffset)))
      this.#inputEnd = 'sent'
  }

  #closeInput(): void {
    this.#inputEnd = 'sent'
    this.#rejectInput("the program's stdin is closed")
  }

  #rejectInput(reason: string): void {
    const input = this.#input
    this.#input = []
    for (const piece of input)
      piece.reject(new GuestError('stream.input-closed', `Cannot write to the guest: ${reason}`))
  }

  #break(error: GuestError): void {
    this.#broken = true
    this.#rejectInput('its control channel is closed')
    this.#options.onBroken(error)
  }
}

function protocolError(what: string): GuestError {
  return new GuestError(
    'guest.channel-protocol',
    `Cannot go on with the guest's control channel: the guest sent ${what}`,
  )
}
