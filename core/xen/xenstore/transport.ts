// How messages travel between us and xenstored: over its socket, or through the kernel's device.
import type { Message } from './wire.ts'

export interface TransportEvents {
  onMessage(message: Message): void
  /** The connection ended; undefined when `close()` was called. Nothing comes after it. */
  onClose(error: Error | undefined): void
}

export interface XenstoreTransport {
  /** `/run/xenstored/socket` or `/dev/xen/xenbus` */
  readonly name: string
  /** The longest payload of a request. */
  readonly maxPayloadBytes: number
  /** Whether WATCH takes a depth. */
  readonly hasWatchDepth: boolean
  /** Sends one message. Throws when it cannot be sent. */
  send(message: Buffer): void
  close(): void
}

/** Opens a transport. Throws, or rejects, where xenstored cannot be reached this way. */
export type OpenTransport = (events: TransportEvents) => Promise<XenstoreTransport>
