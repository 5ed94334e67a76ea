// Carries a stream session over its connection: frames, windows and acknowledgements both ways.
// docs/contracts/streams.md.
import { once } from 'node:events'
import type { Socket } from 'node:net'
import {
  encodeStreamFrame,
  type StreamFrame,
  StreamFrameDecoder,
  type StreamFrameKind,
} from '../api/stream-frames.ts'
import type { OutputEvent } from '../runtime/broker/output-stream.ts'
import type { StreamSession } from '../runtime/broker/stream-session.ts'
import { errorBody } from '../runtime/jobs.ts'

export const windowBytes = 1024 * 1024
/** How long a client that was told the end may stay. */
const farewellMs = 10_000

/** Serves `session` on `socket` until either ends; resolves then. The `ok` line was sent before. */
export async function serveStream(socket: Socket, session: StreamSession): Promise<void> {
  const connection = new StreamConnection(socket, session)
  try {
    await connection.run()
  } finally {
    connection.closeSession()
    socket.destroy()
  }
}

class StreamConnection {
  readonly #socket: Socket
  readonly #session: StreamSession
  readonly #acked = new Map<number, number>()
  readonly #ackWaiters = new Set<() => void>()
  readonly #closed = new AbortController()
  #isSessionClosed = false
  #received = 0
  #taken = 0
  #feeding: Promise<void> = Promise.resolve()
  readonly #inputEnd = Promise.withResolvers<void>()

  constructor(socket: Socket, session: StreamSession) {
    this.#socket = socket
    this.#session = session
  }

  async run(): Promise<void> {
    const decoder = new StreamFrameDecoder()
    const gone = new Promise<void>((resolve) => {
      this.#socket.once('close', resolve)
      this.#socket.on('error', () => resolve())
      void this.#whenClosed().then(resolve)
    })
    this.#socket.on('data', (chunk: Buffer) => {
      try {
        for (const frame of decoder.push(chunk)) this.#take(frame)
      } catch (error) {
        void this.#fail('stream.protocol', error instanceof Error ? error.message : String(error))
      }
    })
    this.#socket.on('end', () => {
      // Who leaves a terminal shall find it again: an end of its input would end the shell in it.
      if (this.#session.terminal) this.#closed.abort()
      else this.#endInput()
    })
    await Promise.race([gone, this.#send()])
    this.#closed.abort()
    for (const wake of this.#ackWaiters) wake()
  }

  /** Lets go of what the stream is about, once. */
  closeSession(): void {
    if (this.#isSessionClosed) return
    this.#isSessionClosed = true
    this.#session.close()
  }

  async #send(): Promise<void> {
    const { outputs, exit } = this.#session
    try {
      await Promise.all(outputs.map((events) => this.#sendOutput(events)))
      if (exit === undefined) {
        if (outputs.length === 0) await this.#whenClosed()
        else {
          // Of two ways the one that ends first leaves the other open.
          if (this.#session.kind === 'connect')
            await Promise.race([this.#inputEnd.promise, this.#whenClosed()])
          await this.#finish()
        }
        return
      }
      const record = await exit
      await this.#write('exit', 0, 0, Buffer.from(JSON.stringify(record)))
      await this.#finish()
    } catch (error) {
      const { code, message, hint } = errorBody(error)
      await this.#fail(code, message, hint)
    }
  }

  #whenClosed(): Promise<void> {
    return new Promise((resolve) => {
      this.#closed.signal.addEventListener('abort', () => resolve(), { once: true })
    })
  }

  async #sendOutput(events: AsyncGenerator<OutputEvent>): Promise<void> {
    for await (const event of events) {
      if (this.#closed.signal.aborted) return
      switch (event.kind) {
        case 'data':
          await this.#writeData(event.stream, event.offset, event.bytes)
          break
        case 'skip': {
          const count = new Uint8Array(8)
          new DataView(count.buffer).setBigUint64(0, BigInt(event.bytes), true)
          await this.#write('skip', event.stream, event.offset, count)
          // Nobody acknowledges what was left out.
          this.#acked.set(event.stream, Math.max(this.#acked.get(event.stream) ?? 0, event.offset))
          break
        }
        case 'end':
          await this.#write('end', event.stream, event.offset)
          break
        default:
          event satisfies never
      }
    }
  }

  async #writeData(stream: number, offset: number, bytes: Uint8Array): Promise<void> {
    if (!this.#acked.has(stream)) this.#acked.set(stream, offset)
    while (offset + bytes.length - (this.#acked.get(stream) ?? 0) > windowBytes) {
      await new Promise<void>((resolve) => {
        this.#ackWaiters.add(resolve)
      })
      if (this.#closed.signal.aborted) return
    }
    await this.#write('data', stream, offset, bytes)
  }

  async #write(kind: StreamFrameKind, stream: number, offset: number, payload?: Uint8Array): Promise<void> {
    if (this.#socket.destroyed) return
    const flushed = this.#socket.write(encodeStreamFrame(kind, stream, offset, payload))
    if (!flushed) await once(this.#socket, 'drain', { signal: this.#closed.signal }).catch(() => undefined)
  }

  /** Ends our side and waits for the client to end its own: until then its acknowledgements must find somebody. */
  async #finish(): Promise<void> {
    this.closeSession()
    const socket = this.#socket
    if (socket.destroyed) return
    const gone = Promise.withResolvers<void>()
    // Also when the client has gone away in between: `close` follows either way.
    socket.once('close', () => gone.resolve())
    if (socket.readableEnded) socket.end(() => gone.resolve())
    else socket.once('end', () => gone.resolve()).end()
    const timer = setTimeout(() => gone.resolve(), farewellMs)
    await gone.promise
    clearTimeout(timer)
  }

  async #fail(code: string, message: string, hint?: string): Promise<void> {
    await this.#write(
      'error',
      0,
      0,
      Buffer.from(JSON.stringify({ code, message, ...(hint === undefined ? {} : { hint }) })),
    )
    await this.#finish()
    this.#closed.abort()
  }

  #take(frame: StreamFrame): void {
    const view = new DataView(frame.payload.buffer, frame.payload.byteOffset, frame.payload.byteLength)
    switch (frame.kind) {
      case 'data':
        this.#takeInput(frame)
        return
      case 'end':
        this.#endInput()
        return
      case 'ack':
        if (frame.offset > (this.#acked.get(frame.stream) ?? 0)) this.#acked.set(frame.stream, frame.offset)
        this.#session.consumed(frame.stream, frame.offset)
        for (const wake of this.#ackWaiters) wake()
        this.#ackWaiters.clear()
        return
      case 'resize':
        if (frame.payload.length !== 4) throw new RangeError('A resize frame has four bytes')
        this.#session.resize?.(view.getUint16(0, true), view.getUint16(2, true))
        return
      case 'signal':
        if (frame.payload.length !== 4) throw new RangeError('A signal frame has four bytes')
        this.#session.signal?.(view.getInt32(0, true))
        return
      default:
        throw new RangeError(`A client may not send frames of the kind "${frame.kind}"`)
    }
  }

  #takeInput(frame: StreamFrame): void {
    if (frame.stream !== 0 || frame.offset !== this.#received)
      throw new RangeError(
        `Input came for byte ${frame.offset} of stream ${frame.stream}; byte ${this.#received} of stream 0 was next`,
      )
    this.#received += frame.payload.length
    if (this.#received - this.#taken > windowBytes)
      throw new RangeError(`More than ${windowBytes} bytes of input came without an acknowledgement`)
    // A copy: the chunk that it is a part of would stay alive as long as the input waits.
    const bytes = Uint8Array.from(frame.payload)
    this.#feeding = this.#feeding.then(async () => {
      await this.#session.input?.write(bytes).catch(() => this.#refuseInput())
      this.#taken += bytes.length
      await this.#write('ack', 0, this.#taken)
    })
  }

  /** Nobody takes it. A program's end tells the story by itself; who is connected to a guest's port is told. */
  async #refuseInput(): Promise<void> {
    if (this.#session.kind !== 'connect') return
    this.#inputEnd.resolve()
    await this.#write('end', 0, this.#taken)
  }

  #endInput(): void {
    this.#feeding = this.#feeding.then(async () => {
      this.#session.input?.end()
      this.#inputEnd.resolve()
      if (this.#session.outputs.length > 0) return
      // An archive has come whole: that was all this connection was for.
      await this.#finish()
      this.#closed.abort()
    })
  }
}
