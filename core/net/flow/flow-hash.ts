// A keyed hash of a flow's key, so that nobody outside can choose flows that meet in one place of a table: the rounds of
// SipHash (Aumasson and Bernstein 2012) on 32-bit words, one round a word and three at the end, under a 128-bit key.
import { getRandomValues } from 'node:crypto'
import { MAPPED_PREFIX } from '../address.ts'

export class FlowHash {
  readonly #key0: number
  readonly #key1: number
  readonly #key2: number
  readonly #key3: number
  // The state: fields, so that no call allocates.
  #v0 = 0
  #v1 = 0
  #v2 = 0
  #v3 = 0

  constructor(key: Int32Array = getRandomValues(new Int32Array(4))) {
    this.#key0 = key[0] ?? 0
    this.#key1 = key[1] ?? 0
    this.#key2 = key[2] ?? 0
    this.#key3 = key[3] ?? 0
  }

  /** 32 bits, signed. */
  of(
    guestIndex: number,
    remote0: number,
    remote1: number,
    remote2: number,
    remote3: number,
    guestPort: number,
    remotePort: number,
  ): number {
    this.#v0 = this.#key0
    this.#v1 = this.#key1
    this.#v2 = this.#key2 ^ 0x6c79_6765
    this.#v3 = this.#key3 ^ 0x7465_6462
    if (remote0 === 0 && remote1 === 0 && remote2 === MAPPED_PREFIX) this.#add(guestIndex << 1)
    else {
      this.#add((guestIndex << 1) | 1)
      this.#add(remote0)
      this.#add(remote1)
      this.#add(remote2)
    }
    this.#add(remote3)
    this.#add((guestPort << 16) | remotePort)
    this.#v2 ^= 0xff
    this.#round()
    this.#round()
    this.#round()
    return this.#v1 ^ this.#v3
  }

  #add(word: number): void {
    this.#v3 ^= word
    this.#round()
    this.#v0 ^= word
  }

  #round(): void {
    let v0 = this.#v0
    let v1 = this.#v1
    let v2 = this.#v2
    let v3 = this.#v3
    v0 = (v0 + v1) | 0
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
    v0 = (v0 << 16) | (v0 >>> 16)
    v2 = (v2 + v3) | 0
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
    v0 = (v0 + v3) | 0
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
    v2 = (v2 + v1) | 0
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
    v2 = (v2 << 16) | (v2 >>> 16)
    this.#v0 = v0
    this.#v1 = v1
    this.#v2 = v2
    this.#v3 = v3
  }
}
