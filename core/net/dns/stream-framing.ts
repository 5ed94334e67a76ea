// DNS over a stream: each message has its length before it, 16 bits (RFC 1035 §4.2.2).
const LENGTH_BYTES = 2

/** A message with its length. */
export function frameMessage(message: Uint8Array): Uint8Array {
  return Buffer.concat([Uint8Array.of(message.length >>> 8, message.length & 0xff), message])
}

/** Cuts a stream into messages. It keeps no more than one unfinished message and the last piece that came. */
export class MessageReader {
  #pieces: Uint8Array[] = []
  #bytes = 0
  #needed = LENGTH_BYTES

  /** Bytes of a message that is not whole yet. */
  get waitingBytes(): number {
    return this.#bytes
  }

  /** The messages that `piece` completes, each a copy or a part of what was given. */
  take(piece: Uint8Array): Uint8Array[] {
    this.#pieces.push(piece)
    this.#bytes += piece.length
    if (this.#bytes < this.#needed) return []
    const messages: Uint8Array[] = []
    const all = this.#pieces.length === 1 ? piece : Buffer.concat(this.#pieces)
    let at = 0
    for (;;) {
      const left = all.length - at
      const length = left < LENGTH_BYTES ? undefined : ((all[at] ?? 0) << 8) | (all[at + 1] ?? 0)
      this.#needed = LENGTH_BYTES + (length ?? 0)
      if (length === undefined || left < this.#needed) break
      messages.push(all.subarray(at + LENGTH_BYTES, at + LENGTH_BYTES + length))
      at += this.#needed
    }
    this.#pieces = at < all.length ? [all.subarray(at)] : []
    this.#bytes = all.length - at
    return messages
  }
}
