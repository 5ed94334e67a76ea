// A core host for tests that says what the test tells it to: real unix sockets and the real wire, so that what a
// real core host never does on demand (refuse, fall silent, die in mid-stream) can be seen from a client.
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type CancellationToken,
  createMessageConnection,
  type MessageConnection,
  ResponseError,
  StreamMessageReader,
  StreamMessageWriter,
} from 'vscode-jsonrpc/node'
import type { CoreEvent, ErrorBody, MethodName } from '../api/methods.ts'
import {
  encodeStreamFrame,
  type StreamFrame,
  StreamFrameDecoder,
  type StreamFrameKind,
} from '../api/stream-frames.ts'
import { applicationError } from '../api/wire.ts'
import type { CoreTarget } from './target.ts'

export type MethodHandler = (params: Record<string, unknown>, token: CancellationToken) => unknown
export type StreamHandler = (peer: StreamPeer) => Promise<void> | void

export interface Script {
  readonly methods?: Partial<Record<MethodName, MethodHandler>>
  /** What happens on the stream of a ticket, after its `ok` line. */
  readonly streams?: Readonly<Record<string, StreamHandler>>
  readonly windowBytes?: number
  readonly kind?: string
  /** Answers a first line in place of the contract's answer. */
  readonly firstLine?: (line: string, socket: Socket) => boolean
}

/** The core host's end of one stream. */
export interface StreamPeer {
  readonly socket: Socket
  send(kind: StreamFrameKind, stream: number, offset: number, payload?: Uint8Array | string): void
  exit(record: Record<string, unknown>): void
  /** The next frame from the client; undefined when it has hung up. */
  next(): Promise<StreamFrame | undefined>
  /** The next frame of that kind; those of other kinds before it are dropped. */
  nextOf(kind: StreamFrameKind): Promise<StreamFrame | undefined>
}

export interface ScriptedCore extends AsyncDisposable {
  readonly socketPath: string
  readonly target: CoreTarget
  /** Every call that came, in order. */
  readonly calls: { method: string; params: Record<string, unknown> }[]
  notify(revision: number, event: CoreEvent): void
  /** Cuts every connection, as a core host that dies does. */
  die(): void
}

/** A failure as a method handler throws it. */
export class ScriptedFailure extends Error {
  readonly body: ErrorBody

  constructor(body: ErrorBody) {
    super(body.message)
    this.body = body
  }
}

/** Listens on a socket of its own in a folder of its own; both are gone when it is disposed. */
export async function startScriptedCore(script: Script): Promise<ScriptedCore> {
  const folder = mkdtempSync(join(tmpdir(), 'bulkhead-core-'))
  const socketPath = join(folder, 'core.sock')
  const sockets = new Set<Socket>()
  const rpcs = new Set<MessageConnection>()
  const calls: ScriptedCore['calls'] = []

  const server = createServer({ allowHalfOpen: false }, (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => {})
    let head = Buffer.alloc(0)
    socket.on('data', function readHead(chunk: Buffer) {
      head = Buffer.concat([head, chunk])
      const end = head.indexOf(10)
      if (end === -1) return
      socket.off('data', readHead)
      socket.pause()
      if (head.length > end + 1) socket.unshift(head.subarray(end + 1))
      answer(socket, head.toString('utf8', 0, end))
    })
  })

  const answer = (socket: Socket, line: string) => {
    if (script.firstLine?.(line, socket)) return
    if (line === 'rpc 1') {
      socket.write('ok {"protocol":1,"version":"0.0.0-scripted"}\n')
      const rpc = serveCalls(socket, script, calls)
      rpcs.add(rpc)
      rpc.onClose(() => rpcs.delete(rpc))
      return
    }
    const stream = script.streams?.[line.replace('stream ', '')]
    if (stream === undefined) {
      socket.end(
        'refused {"code":"stream.bad-ticket","message":"That ticket is not good","hint":"Ask for another."}\n',
      )
      return
    }
    const { windowBytes = 1048576, kind = 'stdio' } = script
    socket.write(`ok ${JSON.stringify({ kind, window: windowBytes, terminal: false })}\n`)
    void stream(streamPeer(socket))
  }

  await new Promise<void>((resolve) => server.listen(socketPath, resolve))
  const die = () => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    socketPath,
    target: { kind: 'socket', socketPath, label: 'the scripted core host' },
    calls,
    die,
    notify: (revision, event) => {
      for (const rpc of rpcs) void rpc.sendNotification('event', { revision, event }).catch(() => {})
    },
    async [Symbol.asyncDispose]() {
      die()
      await new Promise((resolve) => server.close(resolve))
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function serveCalls(socket: Socket, script: Script, calls: ScriptedCore['calls']): MessageConnection {
  const rpc = createMessageConnection(new StreamMessageReader(socket), new StreamMessageWriter(socket))
  const methods: Readonly<Record<string, MethodHandler>> = script.methods ?? {}
  for (const [method, handler] of Object.entries(methods))
    rpc.onRequest(method, async (params: Record<string, unknown>, token) => {
      calls.push({ method, params })
      try {
        return await handler(params, token)
      } catch (error) {
        if (!(error instanceof ScriptedFailure)) throw error
        const { message, ...data } = error.body
        return new ResponseError(applicationError, message, data)
      }
    })
  rpc.listen()
  socket.resume()
  return rpc
}

function streamPeer(socket: Socket): StreamPeer {
  const decoder = new StreamFrameDecoder()
  const frames: StreamFrame[] = []
  let hungUp = false
  let wake = Promise.withResolvers<void>()
  const changed = () => {
    wake.resolve()
    wake = Promise.withResolvers()
  }
  socket.on('data', (chunk: Buffer) => {
    frames.push(...decoder.push(chunk))
    changed()
  })
  socket.on('close', () => {
    hungUp = true
    changed()
  })
  socket.resume()
  const peer: StreamPeer = {
    socket,
    send: (kind, stream, offset, payload) => {
      socket.write(encodeStreamFrame(kind, stream, offset, Buffer.from(payload ?? '')))
    },
    exit: (record) => {
      peer.send('exit', 0, 0, JSON.stringify({ finishedAt: '2026-11-24T06:00:00.000Z', ...record }))
      socket.end()
    },
    next: async () => {
      for (;;) {
        const frame = frames.shift()
        if (frame !== undefined || hungUp) return frame
        await wake.promise
      }
    },
    nextOf: async (kind) => {
      for (;;) {
        const frame = await peer.next()
        if (frame === undefined || frame.kind === kind) return frame
      }
    },
  }
  return peer
}
