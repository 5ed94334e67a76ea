// Which TCP flows are open, in memory that outlives this process: the engine that comes after one that was killed learns
// there whom it must tell (flow-journal-replay.ts). A flow costs a few words written when it opens and one when it ends.
// docs/decisions/a-journal-of-flows.md.
import { closeSync, fstatSync, ftruncateSync, readSync, writeSync } from 'node:fs'
import { type MemoryMapping, mapMemory } from '../../sys/memory-mapping.ts'
import type { GuestPort } from '../guest-port.ts'
import { defaultLimits } from '../settings.ts'
import type { TableFlow } from './table-flow.ts'

// The file is a header and records, all of 16 words of this machine's order. The header: magic, version, number of records.
const MAGIC = 0x4a_46_48_42 // "BHFJ"
const VERSION = 1
const RECORD_WORDS = 16
const RECORD_BYTES = RECORD_WORDS * 4

// A record's words. Its check is written last and is never 0 in a record that is there.
const CHECK = 0
const GUEST_IPV4 = 1
const MAC_HIGH = 2
const MAC_LOW = 3
/** The guest's in the upper half. */
const PORTS = 4
const REMOTE = 5
const GUEST_IPV6 = 9
const USED_WORDS = 13

/** Records of flows that an engine left behind keep their places until their guests know: so twice what may be open. */
const MOST_RECORDS = 2 * defaultLimits.allTcpFlows
const READ_RECORDS = 1_024
export const NO_SLOT = -1

/** A flow as the journal sees it. */
export interface JournaledFlow extends TableFlow {
  readonly port: GuestPort
  /** The journal's: where its record is, or NO_SLOT. */
  journalSlot: number
}

/** A flow that was open when another engine ended. */
export class OldFlow {
  readonly slot: number
  readonly guestPort: number
  readonly remotePort: number
  readonly remote0: number
  readonly remote1: number
  readonly remote2: number
  readonly remote3: number
  /** The address that the guest had in IPv6; a foreign guest may have been at another than its first. */
  readonly guestIpv6: readonly [number, number, number, number]

  constructor(slot: number, record: Int32Array) {
    const word = (index: number) => record[index] ?? 0
    this.slot = slot
    this.guestPort = word(PORTS) >>> 16
    this.remotePort = word(PORTS) & 0xffff
    this.remote0 = word(REMOTE)
    this.remote1 = word(REMOTE + 1)
    this.remote2 = word(REMOTE + 2)
    this.remote3 = word(REMOTE + 3)
    this.guestIpv6 = [word(GUEST_IPV6), word(GUEST_IPV6 + 1), word(GUEST_IPV6 + 2), word(GUEST_IPV6 + 3)]
  }
}

export class FlowJournal implements Disposable {
  readonly #mapping: MemoryMapping
  readonly #words: Int32Array
  readonly #recordCount: number
  /** Flows that were open when the engine before ended, by `guestKey()`. */
  readonly old: ReadonlyMap<string, readonly OldFlow[]>
  /** Slots below `#unused` that are free, the next one last. */
  readonly #free: Int32Array
  #freeCount = 0
  /** Above all slots that were ever used: memory above is not touched. */
  #unused = 0
  #isKept = false

  private constructor(mapping: MemoryMapping, recordCount: number, old: OldRecords) {
    this.#mapping = mapping
    this.#words = new Int32Array(mapping.buffer)
    this.#recordCount = recordCount
    this.#free = new Int32Array(recordCount)
    this.old = old.byGuest
    for (const slot of old.slots) {
      for (; this.#unused < slot; this.#unused++) this.#free[this.#freeCount++] = this.#unused
      this.#unused = slot + 1
    }
  }

  /**
   * Reads what is in the file and goes on in it; a file that is not just as we make it is emptied. `fd` is open for reading and
   * writing and the journal's from now on. Throws SystemError and Node's errors, and closes it then too.
   */
  static open(fd: number, recordCount = MOST_RECORDS): FlowJournal {
    try {
      const sizeBytes = (recordCount + 1) * RECORD_BYTES
      // Careful: holes that are read through a mapping become memory; read(2) leaves them holes.
      const old = readRecords(fd, recordCount, sizeBytes) ?? makeEmpty(fd, recordCount, sizeBytes)
      return new FlowJournal(mapMemory({ fd, sizeBytes }, 'map the flow journal'), recordCount, old)
    } finally {
      closeSync(fd)
    }
  }

  /** A flow is open. When the journal is full it has no record. */
  opened(flow: JournaledFlow): void {
    const slot = this.#take()
    flow.journalSlot = slot
    if (slot === NO_SLOT) return
    const words = this.#words
    const at = (slot + 1) * RECORD_WORDS
    const { mac, ipv4, ipv6 } = flow.port
    Atomics.store(words, at + CHECK, 0)
    words[at + GUEST_IPV4] = ipv4
    words[at + MAC_HIGH] = macHigh(mac)
    words[at + MAC_LOW] = macLow(mac)
    words[at + PORTS] = (flow.guestPort << 16) | flow.remotePort
    words[at + REMOTE] = flow.remote0
    words[at + REMOTE + 1] = flow.remote1
    words[at + REMOTE + 2] = flow.remote2
    words[at + REMOTE + 3] = flow.remote3
    words[at + GUEST_IPV6] = ipv6[0]
    words[at + GUEST_IPV6 + 1] = ipv6[1]
    words[at + GUEST_IPV6 + 2] = ipv6[2]
    words[at + GUEST_IPV6 + 3] = ipv6[3]
    Atomics.store(words, at + CHECK, checkOf(words, at))
  }

  /** It is no more. */
  closed(flow: JournaledFlow): void {
    const slot = flow.journalSlot
    flow.journalSlot = NO_SLOT
    if (slot !== NO_SLOT && !this.#isKept) this.#release(slot)
  }

  /** The guest of an old flow knows, or will not come back. Call it once for each. */
  forget(flow: OldFlow): void {
    this.#release(flow.slot)
  }

  /** From here on records stay: the engine ends in order, and who misses its resets is told by the next. */
  keep(): void {
    this.#isKept = true
  }

  [Symbol.dispose](): void {
    this.#mapping[Symbol.dispose]()
  }

  #take(): number {
    if (this.#freeCount > 0) return this.#free[--this.#freeCount] ?? NO_SLOT
    return this.#unused < this.#recordCount ? this.#unused++ : NO_SLOT
  }

  #release(slot: number): void {
    Atomics.store(this.#words, (slot + 1) * RECORD_WORDS + CHECK, 0)
    this.#free[this.#freeCount++] = slot
  }
}

/** A guest as records name it: one that comes back has both addresses, and whoever has only one of them is another. */
export function guestKey(port: Pick<GuestPort, 'ipv4' | 'mac'>): string {
  return keyOf(port.ipv4, macHigh(port.mac), macLow(port.mac))
}

interface OldRecords {
  readonly byGuest: Map<string, OldFlow[]>
  /** Ascending. */
  readonly slots: readonly number[]
}

/** Undefined where the file is not ours as it should be. A record that was half written is none. */
function readRecords(fd: number, recordCount: number, sizeBytes: number): OldRecords | undefined {
  if (fstatSync(fd).size !== sizeBytes) return undefined
  const header = new Int32Array(RECORD_WORDS)
  if (readSync(fd, header, 0, RECORD_BYTES, 0) !== RECORD_BYTES) return undefined
  if (header[0] !== MAGIC || header[1] !== VERSION || header[2] !== recordCount) return undefined
  const byGuest = new Map<string, OldFlow[]>()
  const slots: number[] = []
  const piece = new Int32Array(READ_RECORDS * RECORD_WORDS)
  for (let first = 0; first < recordCount; first += READ_RECORDS) {
    const bytes = Math.min(READ_RECORDS, recordCount - first) * RECORD_BYTES
    if (readSync(fd, piece, 0, bytes, (first + 1) * RECORD_BYTES) !== bytes) return undefined
    for (let index = 0; index < bytes / RECORD_BYTES; index++) {
      const at = index * RECORD_WORDS
      if (piece[at + CHECK] === 0 || piece[at + CHECK] !== checkOf(piece, at)) continue
      const record = piece.subarray(at, at + RECORD_WORDS)
      const key = keyOf(record[GUEST_IPV4] ?? 0, record[MAC_HIGH] ?? 0, record[MAC_LOW] ?? 0)
      const flow = new OldFlow(first + index, record)
      const flows = byGuest.get(key)
      if (flows === undefined) byGuest.set(key, [flow])
      else flows.push(flow)
      slots.push(flow.slot)
    }
  }
  return { byGuest, slots }
}

function makeEmpty(fd: number, recordCount: number, sizeBytes: number): OldRecords {
  ftruncateSync(fd, 0)
  ftruncateSync(fd, sizeBytes)
  const header = new Int32Array(RECORD_WORDS)
  header.set([MAGIC, VERSION, recordCount])
  writeSync(fd, header, 0, RECORD_BYTES, 0)
  return { byGuest: new Map(), slots: [] }
}

/** FNV-1a over the record's words, never 0. */
function checkOf(words: Int32Array, at: number): number {
  let hash = 0x811c_9dc5 | 0
  for (let index = CHECK + 1; index < USED_WORDS; index++)
    hash = Math.imul(hash ^ (words[at + index] ?? 0), 0x0100_0193)
  return hash | 1
}

function keyOf(ipv4: number, high: number, low: number): string {
  return `${ipv4} ${high} ${low}`
}

function macHigh(mac: Uint8Array): number {
  return ((mac[0] ?? 0) << 24) | ((mac[1] ?? 0) << 16) | ((mac[2] ?? 0) << 8) | (mac[3] ?? 0)
}

function macLow(mac: Uint8Array): number {
  return ((mac[4] ?? 0) << 8) | (mac[5] ?? 0)
}
