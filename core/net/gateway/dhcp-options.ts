// Options of DHCP: a code, a length and that many bytes each (RFC 2132 §2). Reading never leaves the message; writing never
// exceeds what the client takes.
import type { PinnedBuffer } from '../../sys/pinned-buffer.ts'

/** RFC 2132, and where another is named: RFC 3397 (119), RFC 3442 (121), RFC 4039 (80). */
export const DHCP_OPTION = {
  pad: 0,
  subnetMask: 1,
  router: 3,
  nameServers: 6,
  hostName: 12,
  domainName: 15,
  mtu: 26,
  broadcastAddress: 28,
  requestedAddress: 50,
  leaseSeconds: 51,
  messageType: 53,
  server: 54,
  longestMessage: 57,
  renewalSeconds: 58,
  rebindingSeconds: 59,
  clientIdentifier: 61,
  rapidCommit: 80,
  searchDomains: 119,
  classlessRoutes: 121,
  end: 255,
} as const

/**
 * Finds an option between `from` and `to`: where its length byte stands, or 0 where it is missing or what stands before it
 * does not fit.
 */
export function findOption(buffer: PinnedBuffer, from: number, to: number, code: number): number {
  const { bytes } = buffer
  for (let at = from; at < to; ) {
    const found = bytes[at] ?? DHCP_OPTION.end
    if (found === DHCP_OPTION.end) return 0
    if (found === DHCP_OPTION.pad) {
      at++
      continue
    }
    if (at + 2 > to) return 0
    const lengthBytes = bytes[at + 1] ?? 0
    if (at + 2 + lengthBytes > to) return 0
    if (found === code) return at + 1
    at += 2 + lengthBytes
  }
  return 0
}

/** Writes options one after the other, as long as there is room for them and the end mark. */
export class OptionWriter {
  readonly #target: PinnedBuffer
  readonly #limit: number
  #at: number

  constructor(target: PinnedBuffer, at: number, limit: number) {
    this.#target = target
    this.#at = at
    this.#limit = limit
  }

  byte(code: number, value: number): void {
    if (this.#begin(code, 1)) this.#target.view.setUint8(this.#at - 1, value)
  }

  short(code: number, value: number): void {
    if (this.#begin(code, 2)) this.#target.view.setUint16(this.#at - 2, value)
  }

  /** An address, or a number of seconds. */
  word(code: number, value: number): void {
    if (this.#begin(code, 4)) this.#target.view.setInt32(this.#at - 4, value)
  }

  data(code: number, value: Uint8Array): void {
    if (this.#begin(code, value.length)) this.#target.bytes.set(value, this.#at - value.length)
  }

  /** Writes the end mark: where the message ends. */
  end(): number {
    this.#target.view.setUint8(this.#at, DHCP_OPTION.end)
    return this.#at + 1
  }

  #begin(code: number, lengthBytes: number): boolean {
    if (lengthBytes > 255 || this.#at + 2 + lengthBytes + 1 > this.#limit) return false
    this.#target.view.setUint8(this.#at, code)
    this.#target.view.setUint8(this.#at + 1, lengthBytes)
    this.#at += 2 + lengthBytes
    return true
  }
}
