import { describe, expect, it } from 'vitest'
import { FlowHash } from './flow-hash.ts'
import { FlowTable } from './flow-table.ts'
import { TokenBucket } from './rate-limit.ts'
import type { TableFlow } from './table-flow.ts'

function flow(
  guestIndex: number,
  remote3: number,
  guestPort: number,
  remotePort: number,
  ipv6 = false,
): TableFlow {
  const [remote0, remote1, remote2] = ipv6 ? [0x2001_0db8, 0, 7] : [0, 0, 0xffff]
  return { guestIndex, remote0, remote1, remote2, remote3, guestPort, remotePort }
}

function find<F extends TableFlow>(table: FlowTable<F>, key: TableFlow): F | undefined {
  const { guestIndex, remote0, remote1, remote2, remote3, guestPort, remotePort } = key
  return table.find(guestIndex, remote0, remote1, remote2, remote3, guestPort, remotePort)
}

/** Everything meets in one place. */
class OnePlace extends FlowHash {
  override of(): number {
    return -7
  }
}

describe('FlowTable', () => {
  it.each([
    ['a keyed hash', new FlowHash()],
    ['every hash the same', new OnePlace()],
  ])('holds what was put in through inserts and removals in any order, with %s', (_, hash) => {
    const table = new FlowTable<TableFlow>(hash)
    const rounds = hash instanceof OnePlace ? 300 : 6_000
    const held = new Set<TableFlow>()
    const gone: TableFlow[] = []
    for (let round = 0; round < rounds; round++) {
      const added = flow(round % 5, round * 7919, round & 0xffff, 443, round % 3 === 0)
      table.insert(added)
      held.add(added)
      if (round % 3 !== 2) continue
      const victim = [
        ...held
          .values()
          .drop((round * 31) % held.size)
          .take(1),
      ][0]
      if (victim === undefined) continue
      table.remove(victim)
      held.delete(victim)
      gone.push(victim)
    }
    expect(table.size).toBe(held.size)
    for (const one of held) expect(find(table, one)).toBe(one)
    for (const one of gone) expect(find(table, one)).toBeUndefined()
    expect(new Set(table.values())).toEqual(held)
    for (const one of [...held]) table.remove(one)
    expect(table.size).toBe(0)
    expect([...table.values()]).toEqual([])
  })

  it('tells flows apart by every part of their key', () => {
    const table = new FlowTable<TableFlow>()
    const keys = [
      flow(1, 0x0a00_0001, 4000, 80),
      flow(2, 0x0a00_0001, 4000, 80),
      flow(1, 0x0a00_0002, 4000, 80),
      flow(1, 0x0a00_0001, 4001, 80),
      flow(1, 0x0a00_0001, 4000, 81),
      flow(1, 0x0a00_0001, 80, 4000),
      flow(1, 0x0a00_0001, 4000, 80, true),
    ]
    for (const key of keys) table.insert(key)
    for (const key of keys) expect(find(table, { ...key })).toBe(key)
  })

  it('leaves everything alone when a flow is removed that is not in it', () => {
    const table = new FlowTable<TableFlow>()
    const kept = flow(1, 5, 6, 7)
    table.insert(kept)
    table.remove({ ...kept })
    table.remove(flow(9, 9, 9, 9))
    expect(table.size).toBe(1)
    expect(find(table, kept)).toBe(kept)
  })
})

describe('FlowHash', () => {
  it('spreads flows that differ in one number over the table', () => {
    const hash = new FlowHash()
    for (const vary of ['guestPort', 'remotePort', 'remote3', 'guestIndex'] as const) {
      const places = new Uint16Array(1024)
      for (let index = 0; index < 16_384; index++) {
        const key = { ...flow(1, 0x0a00_0001, 4000, 80), [vary]: index }
        const place = hash.of(key.guestIndex, 0, 0, 0xffff, key.remote3, key.guestPort, key.remotePort) & 1023
        places[place] = (places[place] ?? 0) + 1
      }
      // Sixteen on average; a fair hash has a place with 40 once in tens of thousands of tries.
      expect(Math.max(...places)).toBeLessThan(45)
      expect(places.filter((count) => count === 0).length).toBeLessThan(5)
    }
  })

  it('depends on its key', () => {
    const one = new FlowHash(Int32Array.of(1, 2, 3, 4))
    const other = new FlowHash(Int32Array.of(1, 2, 3, 5))
    const of = (hash: FlowHash) => hash.of(1, 0, 0, 0xffff, 0x0a00_0001, 4000, 80)
    expect(of(one)).toBe(of(one))
    expect(of(one)).not.toBe(of(other))
  })
})

describe('TokenBucket', () => {
  it('allows a burst at once and its rate in the long run', () => {
    const bucket = new TokenBucket(100, 20)
    const taken = (nowMs: number, tries: number) =>
      Array.from({ length: tries }, () => bucket.take(nowMs)).filter(Boolean).length
    expect(taken(5_000, 50)).toBe(20)
    expect(taken(5_000, 50)).toBe(0)
    expect(taken(5_010, 50)).toBe(1)
    expect(taken(5_110, 50)).toBe(10)
    expect(taken(3_600_000, 50)).toBe(20)
    let inTenSeconds = 0
    for (let nowMs = 4_000_000; nowMs < 4_010_000; nowMs++) inTenSeconds += taken(nowMs, 3)
    expect(inTenSeconds).toBeGreaterThanOrEqual(1_000)
    expect(inTenSeconds).toBeLessThanOrEqual(1_021)
  })

  it('lets nothing through where nothing is allowed', () => {
    const bucket = new TokenBucket(0)
    expect(bucket.take(0)).toBe(false)
    expect(bucket.take(1_000_000)).toBe(false)
  })
})
