// A stream over its connection: frames in, frames out, and how it ends. docs/contracts/streams.md.
import type { Socket } from 'node:net'
import type { ExitRecord } from '../api/methods.ts'
import {
  encodeStreamFrame,
  maxFramePayloadBytes,
  type StreamFrame,
  StreamFrameDecoder,
} from '../api/stream-frames.ts'
import type { AcceptedStream } from '../api/wire.ts'
import { type CoreError, clientError, coreErrorFromBody } from './core-error.ts'
import type { CoreStream, OutputStream, StreamReader } from './core-stream.ts'
import { ReceiveWindow, SendWindow } from './stream-window.ts'
import type { CoreTarget } from './target.ts'

/** See CoreStream. Begins to read at once; `socket` is its own from now on. */
export class SocketStream implements CoreStream {
  readonly kind: AcceptedStream['kind']
  readonly terminal: boolean
  readonly window: number
  readonly finished: Promise<ExitRecord | undefined>
  readonly #socket: Socket
  readonly #reader: StreamReader
  readonly #target: CoreTarget
  readonly #decoder = new StreamFrameDecoder()
  readonly #finish: PromiseWithResolvers<ExitRecord | undefined>
  readonly #received: ReadonlyMap<number, ReceiveWindow>
  readonly #sent: SendWindow
  #writing: Promise<unknown> = Promise.resolve()
  #ended = false
  #over = false

  constructor(socket: Socket, accepted: AcceptedStream, reader: StreamReader, target: CoreTarget) {
    this.kind = accepted.kind
    this.terminal = accepted.terminal
    this.window = accepted.window
    this.#socket = socket
    this.#reader = reader
    this.#target = target
    this.#finish = Promise.withResolvers()
    this.finished = this.#finish.promise
    this.finished.catch(() => {}) // Whoever wants to know waits for it; nobody has to.
    this.#sent = new SendWindow(accepted.window)
    const receiver = (stream: OutputStream) =>
      new ReceiveWindow(accepted.window, (offset) => this.#send('ack', stream, offset))
    this.#received = new Map([
      [1, receiver(1)],
      [2, receiver(2)],
    ])
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
    socket.on('error', (error) => this.#break(this.#lost(error)))
    socket.on('close', () => this.#hungUp())
    socket.resume()
  }

  acknowledge(stream: OutputStream, offset: number): void {
    this.#received.get(stream)?.consume(offset)
  }

  write(bytes: Uint8Array): Promise<boolean> {
    const written = this.#writing.then(() => this.#write(bytes))
    this.#writing = written.catch(() => {})
    return written
  }

  async end(): Promise<void> {
    await this.#writing
    if (this.#ended || this.#over) return
    this.#ended = true
    this.#send('end', 0, this.#sent.sentBytes)
  }

  resize(rows: number, columns: number): void {
    const payload = Buffer.alloc(4)
    payload.writeUInt16LE(rows, 0)
    payload.writeUInt16LE(columns, 2)
    this.#send('resize', 0, 0, payload)
  }

  signal(signalNumber: number): void {
    const payload = Buffer.alloc(4)
    payload.writeInt32LE(signalNumber)
    this.#send('signal', 0, 0, payload)
  }

  close(): void {
    this.#settle(undefined)
    this.#socket.destroySoon() // What was written before goes out first.
  }

  [Symbol.dispose](): void {
    this.close()
  }

  async #write(bytes: Uint8Array): Promise<boolean> {
    let rest = bytes
    while (rest.length > 0) {
      if (this.#over) return await this.finished.then(() => false)
      if (this.#ended || this.#sent.isClosed) return false
      const room = Math.min(this.#sent.room, maxFramePayloadBytes, rest.length)
      if (room === 0) {
        await this.#sent.changed()
        continue
      }
      const flushed = this.#send('data', 0, this.#sent.sentBytes, rest.subarray(0, room))
      this.#sent.add(room)
      rest = rest.subarray(room)
      if (!flushed) await this.#drained()
    }
    return true
  }

  #drained(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const done = () => {
      this.#socket.off('drain', done).off('close', done)
      resolve()
    }
    this.#socket.on('drain', done).on('close', done)
    return promise
  }

  #send(kind: StreamFrame['kind'], stream: number, offset: number, payload?: Uint8Array): boolean {
    if (this.#over || !this.#socket.writable) return true
    return this.#socket.write(encodeStreamFrame(kind, stream, offset, payload))
  }

  #take(chunk: Uint8Array): void {
    if (this.#over) return
    try {
      for (const frame of this.#decoder.push(chunk)) {
        this.#handle(frame)
        if (this.#over) return
      }
    } catch (error) {
      if (!(error instanceof RangeError || error instanceof SyntaxError)) throw error
      this.#break(this.#badFrame(error.message))
    }
  }

  #handle(frame: StreamFrame): void {
    const { kind, stream, offset, payload } = frame
    switch (kind) {
      case 'data':
        this.#takeData(outputStream(stream), payload, offset)
        break
      case 'skip':
        this.#takeSkip(outputStream(stream), payload, offset)
        break
      case 'end':
        this.#takeEnd(stream, offset)
        break
      case 'ack':
        if (stream === 0) this.#sent.acknowledge(offset)
        break
      case 'exit':
        this.#settle(parseJson(payload) as ExitRecord)
        this.#socket.destroySoon()
        break
      case 'error':
        this.#break(
          coreErrorFromBody(parseJson(payload), {
            code: 'client.bad-frame',
            message: 'The core host ended the stream and did not say why',
          }),
        )
        break
      case 'resize':
      case 'signal':
        break // For core hosts only; both sides ignore what is not for them.
    }
  }

  #takeData(stream: OutputStream, payload: Uint8Array, offset: number): void {
    const received = this.#received.get(stream)
    if (received === undefined || payload.length === 0) return
    received.receive(offset, payload.length)
    if (this.#reader.data) this.#reader.data(stream, payload, offset)
    else received.consume(offset + payload.length)
  }

  #takeSkip(stream: OutputStream, payload: Uint8Array, offset: number): void {
    if (payload.length !== 8) throw new RangeError(`A skip frame has ${payload.length} bytes, 8 are due`)
    const skippedBytes = new DataView(payload.buffer, payload.byteOffset).getBigUint64(0, true)
    this.#received.get(stream)?.skipTo(offset)
    this.#reader.skip?.(stream, Number(skippedBytes), offset)
  }

  #takeEnd(stream: number, length: number): void {
    if (stream === 0) {
      this.#sent.close() // The program reads no more.
      return
    }
    const output = outputStream(stream)
    this.#received.get(output)?.end()
    this.#reader.end?.(output, length)
  }

  #hungUp(): void {
    const outputIsOver = [...this.#received.values()].some((received) => received.hasEnded)
    const inputIsOver = this.#ended || this.#sent.isClosed
    const isOver =
      this.kind === 'connect'
        ? outputIsOver && inputIsOver
        : outputIsOver || (this.kind === 'import' && this.#ended)
    if (isOver) this.#settle(undefined)
    else this.#break(this.#lost())
  }

  #settle(exit: ExitRecord | undefined): void {
    if (this.#over) return
    this.#over = true
    this.#finish.resolve(exit)
    this.#sent.close()
  }

  #break(error: CoreError): void {
    if (this.#over) return
    this.#over = true
    this.#finish.reject(error)
    this.#sent.close()
    this.#socket.destroy()
  }

  #lost(cause?: unknown): CoreError {
    return clientError('client.connection-lost', `The stream from ${this.#target.label} broke off`, {
      hint:
        this.kind === 'import' || this.kind === 'export'
          ? 'Try again: nothing of it is left.'
          : 'The guest goes on without it: see how it is with "bulkhead ps".',
      cause,
    })
  }

  #badFrame(why: string): CoreError {
    return clientError(
      'client.bad-frame',
      `Cannot go on with the stream from ${this.#target.label}: ${why}`,
      {
        hint: 'This is a defect of Bulkhead: please report it.',
      },
    )
  }
}

function outputStream(stream: number): OutputStream {
  if (stream === 1 || stream === 2) return stream
  throw new RangeError(`A stream frame is for the unknown stream ${stream}`)
}

function parseJson(payload: Uint8Array): unknown {
  return JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.length).toString('utf8'))
}
