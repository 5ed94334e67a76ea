import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { EAGAIN } from '../../sys/errno.ts'
import { closeDescriptor } from '../../sys/socket.ts'
import { makeSocketPair } from '../../sys/socket-pair.ts'
import { tcpFrame } from '../frame/guest-frames.fixture.ts'
import { EngineHarness, seen, type TestGuest } from '../packet/engine-harness.fixture.ts'
import { KernelStreamSockets } from '../tcp/kernel-stream-sockets.ts'
import { JournalFolder, journaledFlow, journaledGuest } from './journal-folder.fixture.ts'

const SYN = 2
const RST = 4
const ACK = 16

/** The host's sockets, each connected at once to an end that the test holds. */
class PairSockets extends KernelStreamSockets {
  readonly ends: number[] = []

  override connect(): number {
    const [near, far] = makeSocketPair()
    this.ends.push(far)
    return near
  }
}

let folder: JournalFolder
let sockets: PairSockets
const engines: EngineHarness[] = []

beforeEach(() => {
  folder = new JournalFolder()
  sockets = new PairSockets()
})
afterEach(() => {
  for (const engine of engines.splice(0)) engine[Symbol.dispose]()
  for (const fd of sockets.ends) closeDescriptor(fd)
  folder[Symbol.dispose]()
})

function startEngine(): EngineHarness {
  const engine = new EngineHarness({}, sockets, folder.open())
  engines.push(engine)
  return engine
}

/** What an engine that was killed has left: flows of guest 3 from these ports. */
function leave(ports: readonly number[], remote?: string): void {
  const journal = folder.open()
  for (const port of ports) journal.opened(journaledFlow(journaledGuest(3), port, remote))
}

function ports(count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => 10_000 + index)
}

/** The TCP segments among frames. */
function segments(frames: readonly Uint8Array[]) {
  return frames
    .map((bytes) => seen(bytes))
    .filter(({ protocol }) => protocol === 6)
    .map(({ source, destination, transport }) => ({
      source,
      destination,
      remotePort: transport.readUInt16BE(0),
      guestPort: transport.readUInt16BE(2),
      sequence: transport.readUInt32BE(4),
      flags: transport.readUInt8(13),
    }))
}

function provoked(guest: TestGuest): number[] {
  return [...new Set(segments(guest.take()).map(({ guestPort }) => guestPort))]
}

describe('FlowJournalReplay', () => {
  it.each([
    ['IPv4', '192.0.2.1'],
    ['IPv6', '2001:db8::1'],
  ])('ends a connection that the engine before had open, %s', (family, remote) => {
    const source = family === 'IPv4' ? '10.75.1.3' : 'fdd4:1476:6c7e::a4b:103'
    const ends = { source, destination: remote, sourcePort: 4000, destinationPort: 80 }
    const killed = startEngine()
    const before = killed.addGuest(3)
    const [answer] = segments(
      before.send(tcpFrame({ ...ends, flags: SYN, sequence: 100 }, { sourceMac: before.mac })),
    )
    expect(answer).toMatchObject({ flags: SYN | ACK })
    const restore = folder.freeze()
    killed[Symbol.dispose]()
    engines.pop()
    restore()

    const engine = startEngine()
    const guest = engine.addGuest(3)
    engine.pass(20)
    const [first, second, ...more] = segments(guest.take())
    const expected = { source: remote, destination: source, remotePort: 80, guestPort: 4000, flags: ACK }
    expect([first, second]).toMatchObject([expected, expected])
    expect(more).toEqual([])
    expect(Math.abs((first?.sequence ?? 0) - (second?.sequence ?? 0))).toBe(2 ** 31)
    const reply = { ...ends, flags: ACK, sequence: 101, acknowledgment: 7777 }
    expect(segments(guest.send(tcpFrame(reply, { sourceMac: guest.mac })))).toMatchObject([
      { flags: RST, sequence: 7777, guestPort: 4000 },
    ])
    // Another guest's wire says nothing of it.
    expect(segments(engine.addGuest(4).take())).toEqual([])
  })

  it('says it again for frames that were lost, and then no more; and the next engine knows nothing of it', () => {
    leave(ports(3))
    const engine = startEngine()
    const guest = engine.addGuest(3)
    engine.pass(20)
    expect(provoked(guest)).toEqual(ports(3))
    engine.pass(2_000)
    expect(provoked(guest)).toEqual([])
    engine.pass(1_100)
    expect(provoked(guest)).toEqual(ports(3))
    for (let second = 0; second < 100; second++) engine.pass(1_000)
    expect(provoked(guest)).toEqual([])
    expect(folder.open().old.size).toBe(0)
  })

  it('leaves connections alone that are open again', () => {
    leave(ports(2))
    const engine = startEngine()
    const guest = engine.addGuest(3)
    const again = { source: guest.ipv4, destination: '192.0.2.1', sourcePort: 10_000, destinationPort: 80 }
    const opened = guest.send(tcpFrame({ ...again, flags: SYN, sequence: 1 }, { sourceMac: guest.mac }))
    expect(segments(opened)).toMatchObject([{ flags: SYN | ACK }])
    engine.pass(20)
    expect(provoked(guest)).toEqual([10_001])
    for (let second = 0; second < 10; second++) engine.pass(1_000)
    expect([...folder.open().old.values()].flat()).toMatchObject([{ guestPort: 10_000 }])
  })

  it('takes its time with many', () => {
    leave(ports(1_000))
    const engine = startEngine()
    const guest = engine.addGuest(3)
    const told: number[] = []
    for (let turn = 0; turn < 20; turn++) {
      engine.pass(10)
      const some = provoked(guest)
      expect(some.length).toBeLessThanOrEqual(64)
      told.push(...some)
    }
    expect(told).toEqual(ports(1_000))
  })

  it('goes on where a full device stopped it', () => {
    leave(ports(3))
    const engine = startEngine()
    const guest = engine.addGuest(3)
    guest.device.sendErrors.push(EAGAIN)
    engine.pass(20)
    expect(provoked(guest)).toEqual([])
    engine.pass(20)
    expect(provoked(guest)).toEqual(ports(3))
  })

  it('forgets a guest that is removed: its address may be another one’s next', () => {
    leave(ports(100))
    const engine = startEngine()
    const guest = engine.addGuest(3)
    engine.pass(20)
    expect(provoked(guest)).toHaveLength(64)
    engine.engine.removeGuest('guest-3')
    expect(folder.open().old.size).toBe(0)
    const next = engine.addGuest(3)
    engine.pass(5_000)
    expect(provoked(next)).toEqual([])
  })

  it('waits a minute for guests to come back, no longer', () => {
    leave(ports(2))
    const engine = startEngine()
    for (let second = 0; second < 59; second++) engine.pass(1_000)
    expect(folder.open().old.size).toBe(1)
    engine.pass(1_100)
    expect(folder.open().old.size).toBe(0)
    const guest = engine.addGuest(3)
    engine.pass(100)
    expect(provoked(guest)).toEqual([])
  })

  it('leaves no record of a guest whose flows ended with it', () => {
    const engine = startEngine()
    const guest = engine.addGuest(3)
    const open = { source: guest.ipv4, destination: '192.0.2.1', sourcePort: 4000, destinationPort: 80 }
    guest.send(tcpFrame({ ...open, flags: SYN, sequence: 1 }, { sourceMac: guest.mac }))
    expect(folder.open().old.size).toBe(1)
    engine.engine.removeGuest('guest-3')
    expect(folder.open().old.size).toBe(0)
  })

  it('is not needed when the engine ends in order: guests are reset at once, and remembered all the same', () => {
    const engine = startEngine()
    const guest = engine.addGuest(3)
    const open = { source: guest.ipv4, destination: '192.0.2.1', sourcePort: 4000, destinationPort: 80 }
    guest.send(tcpFrame({ ...open, flags: SYN, sequence: 1 }, { sourceMac: guest.mac }))
    engine.engine[Symbol.dispose]()
    expect(segments(guest.take())).toMatchObject([{ flags: RST | ACK, guestPort: 4000 }])
    expect(folder.open().old.size).toBe(1)
  })
})
