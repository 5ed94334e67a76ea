// Flows of one guest that wait for their turn: whatever ends, breaks or is lost, those that can be served are, and without
// another segment of the guest.
import { describe, expect, it } from 'vitest'
import { EINVAL } from '../../sys/errno.ts'
import type { HostSocket } from './host-sockets.fixture.ts'
import { ScriptedPeer } from './scripted-peer.fixture.ts'
import { flagNames, pattern, synOptions } from './segment-text.fixture.ts'
import { ACK, RST, SYN } from './tcp-header.ts'

const LIMIT_BYTES = 49_152

interface Opened {
  readonly socket: HostSocket
  readonly guestPort: number
  next: number
}

function connect(peer: ScriptedPeer, guestPort: number): Opened {
  peer.sendSyn({ mss: 1460, windowShift: 10, sack: true }, { guestPort })
  const { socket } = peer
  socket.connected()
  const next = (peer.take().sequence + 1) | 0
  peer.send({ guestPort, sequence: peer.initial + 1, acknowledgment: next })
  return { socket, guestPort, next }
}

/** One flow that has filled the guest's budget, one whose data waits behind it, and one that says nothing. */
function fullBudget() {
  const peer = new ScriptedPeer({ inFlightLimitBytes: LIMIT_BYTES })
  const bulk = connect(peer, 1_000)
  const small = connect(peer, 1_001)
  const quiet = connect(peer, 1_002)
  bulk.socket.push(pattern(400_000))
  for (const { payload } of peer.takeAll()) bulk.next = (bulk.next + payload.length) | 0
  small.socket.push(pattern(288))
  expect(peer.sent).toHaveLength(0)
  return { peer, bulk, small, quiet }
}

describe('flows that wait for their turn', () => {
  it('are served when the guest resets the flow that filled its budget', () => {
    const { peer, bulk } = fullBudget()
    peer.send({ guestPort: bulk.guestPort, flags: RST, sequence: peer.initial + 1, acknowledgment: 0 })
    expect(peer.port.inFlightBytes).toBe(288)
    expect(peer.take().payload).toEqual(pattern(288))
  })

  it('do not stand behind one that has ended while it waited', () => {
    const { peer, bulk, small, quiet } = fullBudget()
    // The small one ends, then the big one: nobody is left but one that says something later.
    peer.send({ guestPort: small.guestPort, flags: RST, sequence: peer.initial + 1, acknowledgment: 0 })
    peer.send({ guestPort: bulk.guestPort, flags: RST, sequence: peer.initial + 1, acknowledgment: 0 })
    quiet.socket.push(pattern(90))
    expect(peer.take().payload).toEqual(pattern(90))
  })

  it('are served after a timeout, and so is the flow that sends again', () => {
    const { peer, small } = fullBudget()
    // The guest heard nothing of it all, nor of the probe of the tail.
    peer.pass(2_500)
    const sent = peer.takeAll()
    expect(sent.some(({ guestPort }) => guestPort === small.guestPort)).toBe(true)
    expect(
      sent.some(({ guestPort, payload }) => guestPort !== small.guestPort && payload.length > 1_460),
    ).toBe(true)
  })

  it('do not wait for a device that has no use for a frame: that frame is lost and sent again', () => {
    const peer = new ScriptedPeer()
    const flow = connect(peer, 1_000)
    peer.device.refusal = EINVAL
    flow.socket.push(pattern(500))
    peer.send({
      guestPort: flow.guestPort,
      sequence: peer.initial + 1,
      acknowledgment: flow.next,
      payload: pattern(9),
    })
    peer.device.refusal = 0
    expect(peer.takeAll()).toHaveLength(0)
    peer.pass(2_000)
    const again = peer.takeAll().filter(({ payload }) => payload.length > 0)
    expect(again[0]?.payload).toEqual(pattern(500))
    // And others are not held up meanwhile.
    const other = connect(peer, 1_001)
    other.socket.push(pattern(70))
    expect(peer.takeAll().some(({ payload }) => payload.length === 70)).toBe(true)
  })

  it('are not forgotten when memory is short for one guest and not for the next', () => {
    // A guest may hold a quarter, all of them five slots.
    const peer = new ScriptedPeer({ limits: { poolBytes: 5 * 65_536 } })
    const flows = Array.from({ length: 3 }, (_, index) => connect(peer, 1_000 + index))
    const other = peer.otherGuest(2)
    for (const { socket } of flows) socket.push(pattern(40_000))
    const segments = peer.takeAll()
    expect(segments).toHaveLength(1)
    peer.pass(60)
    // Somebody else's frames must not make the stack forget who waits for memory.
    peer.stack.portWritable(other)
    expect(peer.stack.awaitsMemory).toBe(true)
    peer.pass(120)
    expect(peer.stack.awaitsMemory).toBe(true)
  })

  it('read on behind urgent data, where a read ends early', () => {
    const peer = new ScriptedPeer()
    const flow = connect(peer, 1_000)
    flow.socket.pushUrgent(pattern(60), pattern(288, 9))
    const sent = Buffer.concat(peer.takeAll().map(({ payload }) => payload))
    expect(sent).toEqual(Buffer.concat([pattern(60), pattern(288, 9)]))
    expect(flow.socket.unreadBytes).toBe(0)
  })

  it('an inbound client that reset before the guest answered takes its flow along', () => {
    const peer = new ScriptedPeer()
    const socket = peer.host.open(0)
    peer.stack.openInbound(peer.port, socket.fd, ...peer.remote, 51_000, 80)
    const syn = peer.take()
    socket.fail(104)
    peer.send({
      guestPort: 80,
      remotePort: 51_000,
      flags: SYN | ACK,
      sequence: peer.initial,
      acknowledgment: (syn.sequence + 1) | 0,
      options: synOptions({ mss: 1460 }),
    })
    expect(flagNames(peer.takeAll().at(-1)?.flags ?? 0)).toBe('RA')
    expect(peer.stack.flowCount).toBe(0)
  })
})
