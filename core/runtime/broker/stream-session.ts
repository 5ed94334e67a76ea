// What a stream connection is about, whoever carries its bytes: outputs to send, an input to feed, an end.
import type { ExitRecord } from '../../api/methods.ts'
import type { OutputEvent } from './output-stream.ts'

export interface StreamInput {
  /** Resolves when the bytes were taken; until then the sender should wait. Rejects when nobody reads them. */
  write(bytes: Uint8Array): Promise<void>
  end(): void
}

export interface StreamSession {
  readonly kind: 'stdio' | 'console' | 'logs' | 'import' | 'export' | 'capture' | 'connect'
  readonly terminal: boolean
  /** Each is sent at its own pace; an event says which stream it belongs to. */
  readonly outputs: readonly AsyncGenerator<OutputEvent>[]
  readonly input?: StreamInput | undefined
  /** How the guest's life ended, when it has and is cleaned up. The last thing that is sent. */
  readonly exit?: Promise<ExitRecord> | undefined
  /** Everything before `offset` of `stream` was taken by the client. */
  consumed(stream: number, offset: number): void
  resize?(rows: number, columns: number): void
  signal?(signal: number): void
  /** The connection is gone; nothing is read or written any more. */
  close(): void
}
