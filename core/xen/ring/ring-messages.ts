// What the main thread and the ring worker say to each other. `id` names an attached ring.
import type { MessagePort } from 'node:worker_threads'
import { XenError, type XenErrorReason } from '../errors.ts'

export interface AttachConsole {
  readonly kind: 'attach-console'
  readonly id: number
  readonly domid: number
  /** The frame of the console's page; without it the page is mapped by grant 0. */
  readonly frame: number | undefined
  readonly port: number
  readonly flow: SharedArrayBuffer
}

export interface AttachChannel {
  readonly kind: 'attach-channel'
  readonly id: number
  readonly domid: number
  /** The grant of the control page. */
  readonly ref: number
  readonly port: number
  readonly flow: SharedArrayBuffer
}

export type RingCommand =
  | AttachConsole
  | AttachChannel
  /** Console input, or whole frames. */
  | { readonly kind: 'write'; readonly id: number; readonly bytes: Uint8Array }
  /** The shared words have changed. */
  | { readonly kind: 'look'; readonly id: number }
  /** Report what is in the ring now, whatever was not acknowledged yet. */
  | { readonly kind: 'drain'; readonly id: number; readonly request: number }
  | { readonly kind: 'detach'; readonly id: number }

export type RingReport =
  | { readonly kind: 'ready' }
  | { readonly kind: 'unavailable'; readonly error: PlainXenError }
  /** `toGuestBytes`: size of the ring toward the guest (0: a console); `usedBytes` of it are taken already. */
  | {
      readonly kind: 'attached'
      readonly id: number
      readonly toGuestBytes: number
      readonly usedBytes: number
    }
  /** It could not be attached, or is detached now because the guest broke the rules or a call failed. */
  | { readonly kind: 'failed'; readonly id: number; readonly error: PlainXenError }
  | { readonly kind: 'data'; readonly id: number; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly kind: 'writable'; readonly id: number }
  | { readonly kind: 'drained'; readonly id: number; readonly request: number }
  | { readonly kind: 'detached'; readonly id: number }

/** What the worker is started with. */
export interface RingWorkerData {
  readonly commands: MessagePort
  /** An eventfd: signalled after each command and for `stop`. */
  readonly wakeFd: number
  /** Its first word becomes 1 when the worker must end. */
  readonly stop: SharedArrayBuffer
}

/** A XenError in a form that survives a message. */
export interface PlainXenError {
  readonly reason: XenErrorReason
  readonly message: string
  readonly hint?: string | undefined
  readonly errorName?: string | undefined
}

export function toPlainError(error: unknown): PlainXenError {
  if (error instanceof XenError) {
    const { reason, message, hint, errorName } = error
    return { reason, message, hint, errorName }
  }
  return { reason: 'ring-worker-failed', message: error instanceof Error ? error.message : String(error) }
}

export function fromPlainError({ reason, message, hint, errorName }: PlainXenError): XenError {
  return new XenError(reason, message, errorName === undefined ? { hint } : { hint, errorName })
}
