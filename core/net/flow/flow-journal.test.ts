import {
  closeSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type FlowJournal, guestKey, NO_SLOT } from './flow-journal.ts'
import { openJournalFile } from './flow-journal-file.ts'
import { JournalFolder, journaledFlow, journaledGuest } from './journal-folder.fixture.ts'

const RECORD_BYTES = 64
const guest = journaledGuest(3)
const other = journaledGuest(4)
let folder: JournalFolder

beforeEach(() => {
  folder = new JournalFolder()
})
afterEach(() => {
  folder[Symbol.dispose]()
})

function portsOf(journal: FlowJournal, port = guest): readonly number[] {
  return (journal.old.get(guestKey(port)) ?? []).map(({ guestPort }) => guestPort)
}

describe('FlowJournal', () => {
  it('tells the next engine what was open, of each guest, and nothing that had ended', () => {
    const journal = folder.open()
    expect(journal.old.size).toBe(0)
    const flows = [4000, 4001, 4002].map((port) => journaledFlow(guest, port))
    for (const flow of flows) journal.opened(flow)
    journal.opened(journaledFlow(other, 65_535, '2001:db8::1'))
    if (flows[1] !== undefined) journal.closed(flows[1])
    const next = folder.open()
    expect(portsOf(next)).toEqual([4000, 4002])
    const [flow] = next.old.get(guestKey(other)) ?? []
    expect(flow).toMatchObject({ guestPort: 65_535, remotePort: 80, guestIpv6: other.ipv6 })
    expect([flow?.remote0, flow?.remote3]).toEqual([0x2001_0db8, 1])
  })

  it('knows a guest by its IPv4 address and its MAC', () => {
    const journal = folder.open()
    journal.opened(journaledFlow(guest, 4000))
    const next = folder.open()
    expect(next.old.has(guestKey({ ipv4: guest.ipv4, mac: guest.mac }))).toBe(true)
    expect(next.old.has(guestKey({ ipv4: guest.ipv4, mac: other.mac }))).toBe(false)
    expect(next.old.has(guestKey({ ipv4: other.ipv4, mac: guest.mac }))).toBe(false)
  })

  it('ignores a record whose writing was cut off, at whatever word and in whatever order', () => {
    const journal = folder.open(4)
    const first = journaledFlow(guest, 4000)
    journal.opened(first)
    const before = readFileSync(folder.path)
    journal.closed(first)
    journal.opened(journaledFlow(other, 5000, '2001:db8::1'))
    const after = readFileSync(folder.path)
    for (let words = 1; words < 13; words++)
      for (const check of [undefined, 0, before.readInt32LE(RECORD_BYTES)]) {
        const torn = Buffer.from(after)
        // The last so many words are still those of the record that was there before.
        const from = RECORD_BYTES + 4 * (13 - words)
        before.copy(torn, from, from, RECORD_BYTES + 4 * 13)
        if (check !== undefined) torn.writeInt32LE(check, RECORD_BYTES)
        if (torn.equals(before) || torn.equals(after)) continue
        writeFileSync(folder.path, torn)
        expect(folder.open(4).old.size, `${words} words, check ${check}`).toBe(0)
      }
  })

  it.each([
    ['nothing', () => Buffer.alloc(0)],
    ['zeros', (good: Buffer) => Buffer.alloc(good.length)],
    ['a file of another version', (good: Buffer) => patched(good, 4)],
    ['another magic', (good: Buffer) => patched(good, 0)],
    ['another number of records', (good: Buffer) => patched(good, 8)],
    ['a file cut short', (good: Buffer) => good.subarray(0, good.length - 1)],
    ['a longer file', (good: Buffer) => Buffer.concat([good, Buffer.alloc(1)])],
    ['anything', (good: Buffer) => Buffer.alloc(good.length, 'not a journal at all ')],
  ])('starts empty from %s, and works', (_name, spoil) => {
    folder.open(100).opened(journaledFlow(guest, 4000))
    writeFileSync(folder.path, spoil(readFileSync(folder.path)))
    const journal = folder.open(100)
    expect(journal.old.size).toBe(0)
    journal.opened(journaledFlow(guest, 4001))
    expect(portsOf(folder.open(100))).toEqual([4001])
  })

  it('finds no flow in a file whose records are garbage', () => {
    folder.open(100)
    const bytes = readFileSync(folder.path)
    for (let at = RECORD_BYTES; at < bytes.length; at++) bytes[at] = (at * 31 + 7) & 0xff
    writeFileSync(folder.path, bytes)
    const journal = folder.open(100)
    expect(journal.old.size).toBe(0)
    for (let port = 1; port <= 100; port++) journal.opened(journaledFlow(guest, port))
    expect(portsOf(folder.open(100))).toHaveLength(100)
  })

  it('leaves flows out when it is full, and has room again when some end', () => {
    const journal = folder.open(2)
    const flows = [1, 2, 3, 4].map((port) => journaledFlow(guest, port))
    for (const flow of flows) journal.opened(flow)
    expect(flows.map(({ journalSlot }) => journalSlot)).toEqual([0, 1, NO_SLOT, NO_SLOT])
    for (const flow of flows.slice(1, 3)) journal.closed(flow)
    journal.opened(journaledFlow(guest, 5))
    const last = journaledFlow(guest, 6)
    journal.opened(last)
    expect(last.journalSlot).toBe(NO_SLOT)
    expect(portsOf(folder.open(2))).toEqual([1, 5])
  })

  it('keeps what the engine before left until it is forgotten, beside what is new', () => {
    const first = folder.open(3)
    for (const port of [1, 2, 3]) first.opened(journaledFlow(guest, port))
    const second = folder.open(3)
    const [one, two] = second.old.get(guestKey(guest)) ?? []
    second.opened(journaledFlow(guest, 4))
    if (two !== undefined) second.forget(two)
    second.opened(journaledFlow(guest, 5))
    expect(portsOf(folder.open(3))).toEqual([1, 5, 3])
    if (one !== undefined) second.forget(one)
    expect(portsOf(folder.open(3))).toEqual([5, 3])
  })

  it('keeps everything when the engine ends in order', () => {
    const journal = folder.open()
    const flow = journaledFlow(guest, 4000)
    journal.opened(flow)
    journal.keep()
    journal.closed(flow)
    expect(portsOf(folder.open())).toEqual([4000])
  })

  it('takes next to no memory while few flows were ever open, however often it is read', () => {
    const journal = folder.open()
    for (let port = 1; port <= 100; port++) {
      const flow = journaledFlow(guest, port)
      journal.opened(flow)
      journal.closed(flow)
    }
    folder.open()
    const { size, blocks } = statSync(folder.path)
    expect(size).toBeGreaterThan(2 * 65_536 * RECORD_BYTES)
    expect(blocks * 512).toBeLessThanOrEqual(8192)
  })
})

describe('openJournalFile()', () => {
  it('makes a file that nobody else reads, and takes it up again', () => {
    closeSync(openJournalFile(folder.path))
    writeFileSync(folder.path, 'kept')
    closeSync(openJournalFile(folder.path))
    expect(readFileSync(folder.path, 'utf8')).toBe('kept')
    expect(statSync(folder.path).mode & 0o777).toBe(0o600)
  })

  it('follows no links, and leaves what they lead to alone', () => {
    const precious = join(folder.folder, 'precious')
    for (const link of [symlinkSync, linkSync]) {
      writeFileSync(precious, 'precious', { mode: 0o644 })
      link(precious, folder.path)
      closeSync(openJournalFile(folder.path))
      expect(lstatSync(folder.path)).toMatchObject({ size: 0, nlink: 1 })
      expect(readFileSync(precious, 'utf8')).toBe('precious')
      rmSync(folder.path)
    }
  })

  it('says so where it cannot be', () => {
    mkdirSync(folder.path)
    expect(() => openJournalFile(folder.path)).toThrow('EISDIR')
  })
})

function patched(good: Buffer, at: number): Buffer {
  const bytes = Buffer.from(good)
  bytes.writeInt32LE(bytes.readInt32LE(at) + 1, at)
  return bytes
}
