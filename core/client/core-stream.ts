// One stream of bytes between a client and the core host: output comes to a reader that says what it has consumed,
// input waits while the other side has no room. docs/contracts/streams.md.
import type { ExitRecord } from '../api/methods.ts'
import type { AcceptedStream } from '../api/wire.ts'
import { type ConnectOptions, openConnection } from './connection.ts'
import { clientError, isRecord } from './core-error.ts'
import { SocketStream } from './socket-stream.ts'
import type { CoreTarget } from './target.ts'

/** 1: stdout, also a terminal, a console, a log. 2: stderr. */
export type OutputStream = 1 | 2

/** Where a stream's output goes. The calls come in the order of the bytes. */
export interface StreamReader {
  /** Bytes that begin at `offset`; say `acknowledge(stream, offset + bytes.length)` when they are consumed. */
  data?(stream: OutputStream, bytes: Uint8Array, offset: number): void
  /** The core host left out `skippedBytes`; the next byte is at `offset`. */
  skip?(stream: OutputStream, skippedBytes: number, offset: number): void
  /** Nothing more comes on `stream`. */
  end?(stream: OutputStream, length: number): void
}

export interface CoreStream extends Disposable {
  readonly kind: AcceptedStream['kind']
  readonly terminal: boolean
  /** Bytes that may be on the way beyond the last acknowledgement, in either direction. */
  readonly window: number
  /**
   * How the stream ended: with the guest's exit record, or with nothing where there is none to tell (a log, an
   * import, a capture, a connection whose both directions have ended, `close`). Rejects with a CoreError when it broke; everything that came before has been handed over.
   */
  readonly finished: Promise<ExitRecord | undefined>
  /** Everything of `stream` before `offset` has been consumed. */
  acknowledge(stream: OutputStream, offset: number): void
  /**
   * Sends bytes to the program (or to the import, or to the guest's port), waiting for room; calls are kept in order. False: nobody takes
   * them any more. Rejects when the stream broke.
   */
  write(bytes: Uint8Array): Promise<boolean>
  /** Nothing more will be written. */
  end(): Promise<void>
  /** The terminal's size has changed. */
  resize(rows: number, columns: number): void
  /** Sends a signal, by its number on Linux, to the program. */
  signal(signalNumber: number): void
  /** Detaches: the guest goes on. */
  close(): void
}

/** Opens the stream that `ticket` stands for. Without a `data` reader its output is dropped and acknowledged. */
export async function openCoreStream(
  target: CoreTarget,
  ticket: string,
  reader: StreamReader = {},
  options: ConnectOptions = {},
): Promise<CoreStream> {
  const { socket, answer } = await openConnection(target, `stream ${ticket}`, options)
  const accepted = readAccepted(answer)
  if (accepted === undefined) {
    socket.destroy()
    throw clientError(
      'client.not-core',
      `Cannot open a stream of ${target.label}: its answer was not understood`,
      {
        hint: 'Update the older of the two.',
      },
    )
  }
  return new SocketStream(socket, accepted, reader, target)
}

function readAccepted(answer: unknown): AcceptedStream | undefined {
  if (!isRecord(answer)) return undefined
  const { kind, window, terminal } = answer
  if (!isKind(kind)) return undefined
  if (typeof window !== 'number' || !Number.isSafeInteger(window) || window <= 0) return undefined
  return { kind, window, terminal: terminal === true }
}

const kinds = [
  'stdio',
  'console',
  'logs',
  'import',
  'export',
  'capture',
  'connect',
] as const satisfies AcceptedStream['kind'][]

function isKind(kind: unknown): kind is AcceptedStream['kind'] {
  return kinds.some((known) => known === kind)
}
