// What travels on the MessagePort of one terminal, between the main process and the page directly. Bytes all the
// way; the page acknowledges what its terminal has parsed, the core host learns of it unchanged.
import type { ErrorBody, ExitRecord } from '../../core/api/methods.ts'

/** 1: stdout, a terminal, or a console; 2: stderr. */
export type TerminalStream = 1 | 2

export type ToPage =
  | { readonly type: 'opened'; readonly terminal: boolean }
  | {
      readonly type: 'data'
      readonly stream: TerminalStream
      readonly offset: number
      readonly bytes: Uint8Array
    }
  | {
      /** The core host left bytes out; the next one is at `offset`. */
      readonly type: 'skip'
      readonly stream: TerminalStream
      readonly offset: number
      readonly skippedBytes: number
    }
  /** The stream ended; with an exit record where the guest's program did. */
  | { readonly type: 'finished'; readonly exit: ExitRecord | undefined }
  | { readonly type: 'failed'; readonly error: ErrorBody }

export type FromPage =
  | { readonly type: 'input'; readonly bytes: Uint8Array }
  | { readonly type: 'resize'; readonly rows: number; readonly columns: number }
  | { readonly type: 'ack'; readonly stream: TerminalStream; readonly offset: number }

/** The window message that brings the port (its first and only transferred one). */
export interface TerminalPortMessage {
  readonly bulkhead: 'terminal'
  readonly terminal: string
}
