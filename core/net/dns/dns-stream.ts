// A guest's DNS connection over TCP: queries one behind the other without waiting (pipelining), each answered as soon as its
// answer is there, in whatever order (RFC 7766 §6.2.1.1, §7). Memory is bounded: who does not read is not read.
import type { Duplex } from 'node:stream'
import { frameMessage, MessageReader } from './stream-framing.ts'

export interface DnsStreamOptions {
  readonly socket: Duplex
  /** Nothing asked and nothing answered for so long ends the connection. */
  readonly idleMs: number
  /** Deals with one message; `reply` is called once, or `undefined` given where there is nothing to say. */
  readonly onMessage: (message: Uint8Array) => Promise<Uint8Array | undefined>
  readonly onClosed: () => void
}

/** Answers that may wait for the guest to read them before no more queries are read. */
const MOST_UNREAD_BYTES = 128 * 1024

/** Serves `socket` until either side ends it. A guest's half-close (RFC 9293 §3.6) still gets its answers. */
export function serveDnsStream({ socket, idleMs, onMessage, onClosed }: DnsStreamOptions): void {
  const reader = new MessageReader()
  let outstanding = 0
  let hasEnded = false
  const idle = setTimeout(() => socket.destroy(), idleMs)

  const endWhenDone = () => {
    if (hasEnded && outstanding === 0 && !socket.writableEnded) socket.end()
  }
  const answer = async (message: Uint8Array) => {
    outstanding++
    const reply = await onMessage(message)
    outstanding--
    if (socket.destroyed) return
    idle.refresh()
    if (reply !== undefined && socket.writable) socket.write(frameMessage(reply))
    if (socket.writableLength > MOST_UNREAD_BYTES) socket.pause()
    endWhenDone()
  }

  socket.on('data', (chunk: Uint8Array) => {
    idle.refresh()
    for (const message of reader.take(chunk)) void answer(message)
  })
  socket.on('drain', () => {
    idle.refresh()
    socket.resume()
  })
  socket.on('end', () => {
    hasEnded = true
    endWhenDone()
  })
  // A guest that resets its connection is no event for us; 'close' follows.
  socket.on('error', () => undefined)
  socket.on('close', () => {
    clearTimeout(idle)
    onClosed()
  })
}
