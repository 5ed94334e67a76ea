import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isTransportChecksumRight } from '../frame/checksum.ts'
import { Frame } from '../frame/frame.ts'
import {
  dropsOf,
  gateway,
  guestIpv4,
  guestIpv6,
  guestWire,
  ipFrame,
  type RecordingDevice,
  readPacket,
  received,
  udpDatagram,
} from '../gateway/guest-wire.fixture.ts'
import type { GuestPort } from '../guest-port.ts'
import { IcmpErrorSender } from '../icmp/icmp-error-sender.ts'
import { PacketLoop } from '../packet/packet-loop.ts'
import { Reassembly } from './reassembly.ts'

let nowMs = 1_000
let loop: PacketLoop
let reassembly: Reassembly
let port: GuestPort
let device: RecordingDevice
const frame = new Frame()

beforeEach(() => {
  nowMs = 1_000
  loop = new PacketLoop({ clock: () => nowMs })
  ;({ port, device } = guestWire())
  start()
})

afterEach(() => loop[Symbol.dispose]())

function start(limits: { fragmentedDatagrams?: number; allFragmentedDatagrams?: number } = {}): void {
  reassembly = new Reassembly(
    loop,
    { fragmentedDatagrams: 16, allFragmentedDatagrams: 64, fragmentMs: 30_000, ...limits },
    new IcmpErrorSender(loop, gateway, 100),
  )
}

interface Piece {
  readonly start: number
  readonly end: number
}

/** Cuts `bytes` into pieces of `size`. */
const pieces = (bytes: number, size: number): Piece[] =>
  Array.from({ length: Math.ceil(bytes / size) }, (_, index) => ({
    start: index * size,
    end: Math.min(bytes, (index + 1) * size),
  }))

function fragmentOf(to: string, payload: Uint8Array, piece: Piece, id = 77): Uint8Array {
  const more = piece.end < payload.length
  return ipFrame({
    to,
    protocol: 17,
    fragment: { offsetBytes: piece.start, more, id },
    payload: payload.subarray(piece.start, piece.end),
  })
}

const add = (raw: Uint8Array): Frame | undefined => reassembly.add(port, received(raw, frame))

describe.each([
  ['IPv4', '192.0.2.1', guestIpv4],
  ['IPv6', '2001:db8::1', guestIpv6],
])('a fragmented packet of %s', (_family, to, from) => {
  const isIpv6 = to.includes(':')
  const data = (bytes: number) => Uint8Array.from({ length: bytes }, (_, index) => (index * 31) & 255)

  it('is whole again in any order of its fragments, some of them twice', () => {
    const property = fc.property(
      fc.integer({ min: 1, max: 9_000 }),
      fc.integer({ min: 1, max: 180 }).map((units) => units * 8),
      fc.infiniteStream(fc.integer({ min: 0, max: 1_000_000 })),
      (bytes, size, random) => {
        const payload = udpDatagram(from, to, 1, 2, data(bytes))
        const all = pieces(payload.length, Math.max(size, Math.ceil(payload.length / 100 / 8) * 8))
        if (all.length < 2) return
        const shuffled = [...all, ...all.slice(1, 3)]
          .map((piece) => ({ piece, key: random.next().value as number }))
          .toSorted((one, other) => one.key - other.key)
          .map(({ piece }) => piece)
        const seen = new Set<Piece>()
        let whole: Frame | undefined
        for (const piece of shuffled) {
          const result = add(fragmentOf(to, payload, piece))
          seen.add(piece)
          if (seen.size === all.length) {
            whole = result
            break
          }
          expect(result).toBeUndefined()
        }
        expect(whole?.isFragment).toBe(false)
        expect(whole?.protocol).toBe(17)
        expect(whole && isTransportChecksumRight(whole)).toBe(true)
        expect(whole?.buffer.bytes.slice(whole.transport, whole.end)).toEqual(payload)
        expect(reassembly.size).toBe(0)
      },
    )
    fc.assert(property, { numRuns: 60 })
  })

  it('may have 65507 bytes, and no more than its length field can say', () => {
    const payload = udpDatagram(from, to, 1, 2, data(65_507))
    let whole: Frame | undefined
    for (const piece of pieces(payload.length, 1_440)) whole = add(fragmentOf(to, payload, piece))
    expect(whole?.transportBytes).toBe(65_515)
    const ping = new Uint8Array(1_440)
    const tail = ipFrame({
      to,
      protocol: 17,
      fragment: { offsetBytes: 65_528, more: false, id: 5 },
      payload: ping.subarray(0, 800),
    })
    expect(add(tail)).toBeUndefined()
    expect(dropsOf(port)).toEqual({ fragment: 1 })
    expect(reassembly.size).toBe(0)
  })

  it('that overlaps is dropped with all that follows of it', () => {
    const payload = udpDatagram(from, to, 1, 2, data(3_000))
    const overlaps: Piece[][] = [
      [
        { start: 0, end: 1_440 },
        { start: 1_432, end: 2_800 },
      ],
      [
        { start: 1_432, end: 2_800 },
        { start: 0, end: 1_440 },
      ],
      [
        { start: 0, end: 2_880 },
        { start: 8, end: 16 },
      ],
      [
        { start: 8, end: 16 },
        { start: 0, end: 2_880 },
      ],
    ]
    for (const [index, overlap] of overlaps.entries()) {
      const rest = [...overlap, ...pieces(payload.length, 1_440)]
      for (const piece of rest) expect(add(fragmentOf(to, payload, piece, 100 + index))).toBeUndefined()
    }
    expect(reassembly.size).toBe(overlaps.length)
    nowMs += 30_020
    loop.turn(0)
    expect(reassembly.size).toBe(0)
    expect(device.frames).toHaveLength(0)
  })

  it('that has two ends, or goes on behind its end, is dropped', () => {
    const payload = data(2_000)
    const short = { offsetBytes: 800, more: false, id: 9 }
    add(ipFrame({ to, protocol: 17, fragment: short, payload: payload.subarray(0, 80) }))
    add(
      ipFrame({
        to,
        protocol: 17,
        fragment: { ...short, offsetBytes: 1_600 },
        payload: payload.subarray(0, 80),
      }),
    )
    expect(dropsOf(port)).toEqual({ fragment: 1 })
    const far = { offsetBytes: 1_600, more: true, id: 10 }
    add(ipFrame({ to, protocol: 17, fragment: far, payload: payload.subarray(0, 80) }))
    add(
      ipFrame({
        to,
        protocol: 17,
        fragment: { ...far, offsetBytes: 800, more: false },
        payload: payload.subarray(0, 80),
      }),
    )
    expect(dropsOf(port)).toEqual({ fragment: 2 })
  })

  it('of empty fragments, or of a broken size, never begins', () => {
    const fragment = { offsetBytes: 0, more: true, id: 9 }
    add(ipFrame({ to, protocol: 17, fragment, payload: new Uint8Array(0) }))
    add(ipFrame({ to, protocol: 17, fragment, payload: new Uint8Array(13) }))
    expect(reassembly.size).toBe(0)
    expect(dropsOf(port)).toEqual({ fragment: 2 })
  })

  it('that stays in pieces is given up, and the guest is told when its first one came', () => {
    const payload = udpDatagram(from, to, 4000, 5000, data(3_000))
    const [first, second] = pieces(payload.length, 1_440)
    if (first === undefined || second === undefined) throw new Error('Two pieces')
    add(fragmentOf(to, payload, first, 1))
    add(fragmentOf(to, payload, second, 2))
    nowMs += 30_020
    loop.turn(0)
    expect(reassembly.size).toBe(0)
    const seen = device.frames.splice(0).map(readPacket)
    expect(seen.map((packet) => [packet.payload[0], packet.payload[1]])).toEqual([isIpv6 ? [3, 1] : [11, 1]])
    const quoted = seen[0]?.payload.subarray(8 + (isIpv6 ? 40 : 20))
    expect([...(quoted?.subarray(0, 4) ?? [])]).toEqual([4000 >>> 8, 4000 & 255, 5000 >>> 8, 5000 & 255])
  })

  it('is not mixed with another of another number', () => {
    const one = udpDatagram(from, to, 1, 2, data(1_000))
    const two = udpDatagram(from, to, 3, 4, data(1_000).toReversed())
    const [head, tail] = pieces(one.length, 504)
    if (head === undefined || tail === undefined) throw new Error('Two pieces')
    add(fragmentOf(to, one, head, 1))
    add(fragmentOf(to, two, tail, 2))
    expect(add(fragmentOf(to, one, tail, 1))?.transportBytes).toBe(one.length)
    expect(add(fragmentOf(to, two, head, 2))?.transportBytes).toBe(two.length)
  })

  it('is given up when it has too many pieces', () => {
    const payload = data(2_000)
    for (const piece of pieces(payload.length, 8)) add(fragmentOf(to, payload, piece))
    expect(dropsOf(port)).toEqual({ fragment: 250 - 128 })
    expect(reassembly.size).toBe(1)
  })
})

describe('packets under way', () => {
  const first = (id: number) =>
    ipFrame({
      to: '192.0.2.1',
      protocol: 17,
      fragment: { offsetBytes: 0, more: true, id },
      payload: new Uint8Array(80),
    })

  it('of one guest are as many as allowed: the oldest goes', () => {
    start({ fragmentedDatagrams: 2 })
    for (let id = 1; id <= 3; id++) add(first(id))
    expect(reassembly.size).toBe(2)
    expect(dropsOf(port)).toEqual({ fragment: 1 })
  })

  it('of the guest that has most make room for another guest', () => {
    start({ allFragmentedDatagrams: 4 })
    for (let id = 1; id <= 4; id++) add(first(id))
    const greedy = port
    ;({ port } = guestWire())
    add(first(1))
    expect(reassembly.size).toBe(4)
    expect(dropsOf(greedy)).toEqual({ fragment: 1 })
    expect(dropsOf(port)).toEqual({})
  })

  it('go with their guest', () => {
    for (let id = 1; id <= 3; id++) add(first(id))
    reassembly.portGone(port)
    expect(reassembly.size).toBe(0)
    nowMs += 31_000
    loop.turn(0)
    expect(device.frames).toHaveLength(0)
  })
})
