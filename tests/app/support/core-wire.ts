// A core host's end of the wire for the app's tests: one unix socket, calls and streams as docs/contracts say, every
// parameter and result held to the schemas. What a call does and what a stream says is the test's.
import { createServer, type Server, type Socket } from 'node:net'
import {
  createMessageConnection,
  type MessageConnection,
  ResponseError,
  StreamMessageReader,
  StreamMessageWriter,
} from 'vscode-jsonrpc/node'
import type { CoreEvent, MethodName, ParsedParamsOf, ResultOf } from '../../../core/api/methods.ts'
import { methodSchemas } from '../../../core/api/schemas/methods.ts'
import {
  encodeStreamFrame,
  type StreamFrame,
  StreamFrameDecoder,
  type StreamFrameKind,
} from '../../../core/api/stream-frames.ts'
import { applicationError } from '../../../core/api/wire.ts'
import { BulkheadError } from '../../../core/errors.ts'

export type Methods = {
  readonly [M in MethodName]?: (params: ParsedParamsOf<M>) => ResultOf<M> | Promise<ResultOf<M>>
}

export interface StreamEnd {
  send(kind: StreamFrameKind, stream: number, offset: number, payload?: Uint8Array): void
  onFrame(listener: (frame: StreamFrame) => void): void
  onClose(listener: () => void): void
  end(): void
}

export interface AcceptedTicket {
  readonly kind: 'stdio' | 'console' | 'logs' | 'import'
  readonly terminal: boolean
  readonly serve: (end: StreamEnd) => void
}

const windowBytes = 1024 * 1024

export class CoreWire implements AsyncDisposable {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #rpcs = new Set<MessageConnection>()
  readonly #methods: Methods
  readonly #takeTicket: (ticket: string) => AcceptedTicket | undefined
  #revision = 0

  private constructor(methods: Methods, takeTicket: (ticket: string) => AcceptedTicket | undefined) {
    this.#methods = methods
    this.#takeTicket = takeTicket
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket))
  }

  static async listen(
    path: string,
    methods: Methods,
    takeTicket: (ticket: string) => AcceptedTicket | undefined,
  ): Promise<CoreWire> {
    const wire = new CoreWire(methods, takeTicket)
    await new Promise<void>((resolve) => wire.#server.listen(path, resolve))
    return wire
  }

  /** Tells every subscriber. */
  notify(event: CoreEvent): void {
    this.#revision += 1
    for (const rpc of this.#rpcs)
      rpc.sendNotification('event', { revision: this.#revision, event }).catch(() => {
        // It has hung up.
      })
  }

  /** Cuts every connection, as a core host that dies does; it can be connected to again. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.#sockets.delete(socket))
    let head = Buffer.alloc(0)
    const readLine = (chunk: Buffer) => {
      head = Buffer.concat([head, chunk])
      const end = head.indexOf(10)
      if (end === -1) return
      socket.off('data', readLine)
      socket.pause()
      if (head.length > end + 1) socket.unshift(head.subarray(end + 1))
      this.#answer(socket, head.toString('utf8', 0, end))
    }
    socket.on('data', readLine)
  }

  #answer(socket: Socket, line: string): void {
    if (line === 'rpc 1') {
      socket.write('ok {"protocol":1,"version":"0.1.0"}\n')
      this.#serveCalls(socket)
      return
    }
    const accepted = line.startsWith('stream ') ? this.#takeTicket(line.slice('stream '.length)) : undefined
    if (accepted === undefined) {
      socket.end('refused {"code":"stream.bad-ticket","message":"That ticket is not good"}\n')
      return
    }
    const { kind, terminal, serve } = accepted
    socket.write(`ok ${JSON.stringify({ kind, terminal, window: windowBytes })}\n`)
    const decoder = new StreamFrameDecoder()
    const listeners: ((frame: StreamFrame) => void)[] = []
    socket.on('data', (chunk: Buffer) => {
      for (const frame of decoder.push(chunk)) for (const listener of listeners) listener(frame)
    })
    serve({
      send: (frameKind, stream, offset, payload) => {
        if (socket.writable) socket.write(encodeStreamFrame(frameKind, stream, offset, payload))
      },
      onFrame: (listener) => listeners.push(listener),
      onClose: (listener) => socket.on('close', listener),
      end: () => socket.end(),
    })
    socket.resume()
  }

  #serveCalls(socket: Socket): void {
    const rpc = createMessageConnection(new StreamMessageReader(socket), new StreamMessageWriter(socket))
    for (const [method, { params: schema, result }] of Object.entries(methodSchemas)) {
      rpc.onRequest(method, async (params: unknown) => {
        try {
          const handler = (this.#methods as Record<string, ((params: unknown) => unknown) | undefined>)[
            method
          ]
          if (method === 'events.subscribe') {
            this.#rpcs.add(rpc)
            return { revision: this.#revision }
          }
          if (handler === undefined) throw new BulkheadError('host.unsupported', `${method} is not scripted`)
          return result.parse(await handler(schema.parse(params)))
        } catch (error) {
          const known = error instanceof BulkheadError ? error : undefined
          const data = { code: known?.code ?? 'host.internal', ...(known?.hint ? { hint: known.hint } : {}) }
          return new ResponseError(applicationError, String(known?.message ?? error), data)
        }
      })
    }
    socket.on('close', () => this.#rpcs.delete(rpc))
    rpc.onError(() => socket.destroy())
    rpc.listen()
    socket.resume()
  }
}
