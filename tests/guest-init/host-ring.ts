// dom0's side of the shared memory, on a file that guest-init has mapped. Reads and writes at a position are
// coherent with the mapping and order themselves, so that no native code is needed.

import { closeSync, ftruncateSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { type Frame, frameSize, headerBytes, limitBytes, nameOf } from './frames.ts'

const pageBytes = 4096
const toHostBytes = 64 * pageBytes
const fromHostBytes = 16 * pageBytes

/** Offsets in the control page (docs/contracts/channel.md). */
const control = { magic: 0, version: 4, pages: 8, guestLive: 16, hostLive: 20, references: 1024 } as const
const toHost = { prod: 64, cons: 128, wantData: 192, wantSpace: 256, start: pageBytes } as const
const fromHost = {
  prod: 320,
  cons: 384,
  wantData: 448,
  wantSpace: 512,
  start: pageBytes + toHostBytes,
} as const

export class HostRing implements Disposable {
  readonly file: number
  readonly #folder: string
  readonly #notify: () => void
  #cons = 0
  #prod = 0

  constructor(notify: () => void) {
    this.#folder = mkdtempSync('/dev/shm/guest-init-')
    this.file = openSync(join(this.#folder, 'memory'), 'wx+')
    ftruncateSync(this.file, pageBytes + toHostBytes + fromHostBytes)
    this.#notify = notify
  }

  [Symbol.dispose](): void {
    closeSync(this.file)
    rmSync(this.#folder, { recursive: true })
  }

  read32(at: number): number {
    return this.#read(at, 4).readUInt32LE()
  }

  write32(at: number, value: number): void {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32LE(value >>> 0)
    writeSync(this.file, bytes, 0, 4, at)
  }

  /** The fields that guest-init fills in before it announces the channel. */
  get controlPage() {
    return {
      magic: this.read32(control.magic),
      version: this.read32(control.version),
      pages: [this.read32(control.pages), this.read32(control.pages + 4)],
      guestLive: this.read32(control.guestLive),
      references: [this.read32(control.references), this.read32(control.references + 4 * 79)],
    }
  }

  /** Attaches as a newly started core host does: indices come from the page. */
  attach(): void {
    this.#cons = this.read32(toHost.cons)
    this.#prod = this.read32(fromHost.prod)
    this.write32(control.hostLive, 1)
  }

  get #hasFrame(): boolean {
    return this.read32(toHost.prod) !== this.#cons
  }

  /** Bytes in the ring that the host has not taken; the guest will ring when there are more. */
  watch(): number {
    this.write32(toHost.wantData, 1)
    return (this.read32(toHost.prod) - this.#cons) >>> 0
  }

  /** Takes the next frame; undefined when there is none. Then the guest will ring. */
  take(): Frame | undefined {
    if (!this.#hasFrame) {
      this.write32(toHost.wantData, 1)
      if (!this.#hasFrame) return undefined
    }
    const header = this.#copy(this.#cons, headerBytes)
    const length = header.readUInt32LE(0)
    if (length > limitBytes) throw new Error(`The guest sent a frame of ${length} bytes`)
    const bytes = this.#copy(this.#cons, frameSize(length))
    this.#cons = (this.#cons + bytes.length) >>> 0
    this.write32(toHost.cons, this.#cons)
    if (this.read32(toHost.wantSpace) === 1) {
      this.write32(toHost.wantSpace, 0)
      this.#notify()
    }
    const payload = bytes.subarray(headerBytes, headerBytes + length)
    return { name: nameOf(header.readUInt16LE(4)), stream: header.readUInt32LE(8), payload, bytes }
  }

  /** Puts a frame into the ring; false when it does not fit yet. Then the guest will ring. */
  put(frame: Uint8Array): boolean {
    if (!this.#fits(frame.length)) {
      this.write32(fromHost.wantSpace, 1)
      if (!this.#fits(frame.length)) return false
    }
    const start = this.#prod & (fromHostBytes - 1)
    const first = Math.min(frame.length, fromHostBytes - start)
    writeSync(this.file, frame, 0, first, fromHost.start + start)
    if (first < frame.length) writeSync(this.file, frame, first, frame.length - first, fromHost.start)
    this.moveProd(frame.length)
    return true
  }

  /** Moves our index alone: what a host that breaks the rules does. */
  moveProd(by: number): void {
    this.#prod = (this.#prod + by) >>> 0
    this.write32(fromHost.prod, this.#prod)
    if (this.read32(fromHost.wantData) !== 1) return
    this.write32(fromHost.wantData, 0)
    this.#notify()
  }

  /** Sets our index into the ring toward the host to a value that cannot be. */
  breakCons(): void {
    this.write32(toHost.cons, (this.read32(toHost.prod) + 1) >>> 0)
    this.#notify()
  }

  #fits(length: number): boolean {
    return ((this.#prod - this.read32(fromHost.cons)) >>> 0) + length <= fromHostBytes
  }

  #read(at: number, length: number): Buffer {
    const bytes = Buffer.alloc(length)
    readSync(this.file, bytes, 0, length, at)
    return bytes
  }

  #copy(index: number, length: number): Buffer {
    const start = index & (toHostBytes - 1)
    const first = Math.min(length, toHostBytes - start)
    const head = this.#read(toHost.start + start, first)
    return first === length ? head : Buffer.concat([head, this.#read(toHost.start, length - first)])
  }
}
