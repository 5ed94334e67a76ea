// A guest's DNS connection over TCP: queries one behind the other without waiting (pipelining), each answered as soon as its
// answer is there, in whatever order (RFC 7766 §6.2.1.1, §7). Memory and work are bounded by not reading: who asks too much
// at a time is asked on later, and who does not read is not read.
import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { frameMessage, MessageReader } from './stream-framing.ts'

export interface DnsStreamOptions {
  readonly socket: Duplex
  /** Nothing asked and nothing answered for so long ends the connection. */
  readonly idleMs: number
  /** Whether one more query may be dealt with now. */
  readonly mayAsk: () => boolean
  /** Deals with one message: its answer, or undefined where there is nothing to say. Never rejects. */
  readonly onMessage: (message: Uint8Array) => Promise<Uint8Array | undefined>
  readonly onClosed: () => void
}

/** Answers that may wait for the guest to read them before no more queries are read. */
const MOST_UNREAD_BYTES = 128 * 1024
/** Queries of one connection that are dealt with at a time. */
const MOST_OUTSTANDING = 16
/** How often somebody who asks too much is looked at again. */
const PATIENCE_MS = 20

/** Serves `socket` until either side ends it. A guest's half-close (RFC 9293 §3.6) still gets its answers. */
export function serveDnsStream(options: DnsStreamOptions): void {
  const { socket, idleMs, onClosed } = options
  const closing = new AbortController()
  const idle = setTimeout(() => socket.destroy(), idleMs)
  // A guest that resets its connection is no event for us; 'close' follows.
  socket.on('error', () => undefined)
  socket.on('close', () => {
    clearTimeout(idle)
    closing.abort()
    onClosed()
  })
  // Rejects when the connection is gone, and then there is nobody to tell.
  serve(options, closing.signal, () => idle.refresh()).catch(() => socket.destroy())
}

async function serve(
  { socket, mayAsk, onMessage }: DnsStreamOptions,
  closed: AbortSignal,
  onActivity: () => void,
): Promise<void> {
  const reader = new MessageReader()
  const outstanding = new Set<Promise<void>>()
  const answer = async (message: Uint8Array) => {
    const reply = await onMessage(message)
    if (socket.destroyed) return
    onActivity()
    if (reply !== undefined) socket.write(frameMessage(reply))
  }
  for await (const piece of socket.iterator({ destroyOnReturn: false })) {
    onActivity()
    for (const message of reader.take(piece as Uint8Array)) {
      while (outstanding.size >= MOST_OUTSTANDING) await Promise.race(outstanding)
      while (!mayAsk()) await delay(PATIENCE_MS, undefined, { signal: closed })
      while (socket.writableLength > MOST_UNREAD_BYTES) await once(socket, 'drain', { signal: closed })
      const answered = answer(message).finally(() => outstanding.delete(answered))
      outstanding.add(answered)
    }
  }
  await Promise.all(outstanding)
  socket.end()
}
