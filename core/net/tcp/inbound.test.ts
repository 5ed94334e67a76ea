// Connections from the host to a guest: net cases 24, 25.
import { describe, expect, it } from 'vitest'
import { ScriptedPeer, SERVER_PORT } from './scripted-peer.fixture.ts'
import { flagNames, pattern, synOptions } from './segment-text.fixture.ts'
import { ACK, RST, SYN } from './tcp-header.ts'

const CLIENT_PORT = 51_000
const GUEST_SERVICE = 80

function open(peer: ScriptedPeer, clientPort = CLIENT_PORT) {
  const socket = peer.host.open(0)
  const decisions: boolean[] = []
  peer.stack.openInbound(peer.port, socket.fd, ...peer.remote, clientPort, GUEST_SERVICE, (accepted) =>
    decisions.push(accepted),
  )
  return { socket, decisions }
}

const ends = { guestPort: GUEST_SERVICE, remotePort: CLIENT_PORT }

describe.each([4, 6] as const)('TCP over IPv%i, inbound', (family) => {
  it('asks the guest, and joins it to the client that waits (RFC 9293 §3.7.1)', () => {
    const peer = new ScriptedPeer({ family })
    const { socket, decisions } = open(peer)
    const syn = peer.take()
    expect(flagNames(syn.flags)).toBe('S')
    expect([syn.remotePort, syn.guestPort]).toEqual([CLIENT_PORT, GUEST_SERVICE])
    const mss = family === 4 ? 1460 : 1440
    expect([...syn.options]).toEqual([2, 4, mss >>> 8, mss & 255, 1, 3, 3, 5, 1, 1, 4, 2])
    // The client speaks first: its bytes stay in the kernel.
    socket.push(pattern(500))
    expect(peer.sent).toHaveLength(0)
    expect(socket.unreadBytes).toBe(500)
    peer.acknowledgment = (syn.sequence + 1) | 0
    peer.send({ ...ends, flags: SYN | ACK, options: synOptions({ mss: 1400, windowShift: 7, sack: true }) })
    const [ack, data] = peer.takeAll()
    expect(flagNames(ack?.flags ?? 0)).toBe('A')
    expect(ack?.acknowledgment).toBe(peer.initial + 1)
    expect(data?.payload).toEqual(pattern(500))
    expect(decisions).toEqual([true])
    peer.sequence = peer.initial + 1
    peer.send({ ...ends, acknowledgment: (peer.acknowledgment + 500) | 0, payload: pattern(90) })
    expect(socket.received).toEqual(pattern(90))
    expect([...peer.stack.reports()][0]).toMatchObject({
      direction: 'in',
      state: 'established',
      inBytes: 500,
      outBytes: 90,
    })
  })

  it('repeats its SYN after 1, 3 and 7 s and gives up after 10 (RFC 9293 §3.8.1)', () => {
    const peer = new ScriptedPeer({ family })
    const { socket, decisions } = open(peer)
    const times: number[] = []
    const from = peer.context.nowMs
    for (let step = 0; step < 1_100; step++) {
      for (const { flags } of peer.takeAll()) if (flags === SYN) times.push(peer.context.nowMs - from)
      peer.pass(10)
    }
    expect(times).toEqual([0, 1_000, 3_000, 7_000])
    expect(decisions).toEqual([false])
    expect(socket.state).toBe('reset')
    expect(peer.stack.flowCount).toBe(0)
  })

  it('resets the client when the guest refuses (RFC 9293 §3.10.7.3)', () => {
    const peer = new ScriptedPeer({ family })
    const { socket, decisions } = open(peer)
    const syn = peer.take()
    // A forged one first: without the right acknowledgement it is nothing.
    peer.send({ ...ends, flags: RST | ACK, acknowledgment: syn.sequence })
    peer.send({ ...ends, flags: RST })
    expect(decisions).toEqual([])
    peer.send({ ...ends, flags: RST | ACK, acknowledgment: (syn.sequence + 1) | 0 })
    expect(decisions).toEqual([false])
    expect(socket.state).toBe('reset')
  })

  it('resets an acknowledgement of what it never sent, and goes on asking (RFC 9293 §3.10.7.3)', () => {
    const peer = new ScriptedPeer({ family })
    const { decisions } = open(peer)
    const syn = peer.take()
    peer.send({ ...ends, flags: ACK, acknowledgment: (syn.sequence + 500) | 0 })
    const reset = peer.take()
    expect(flagNames(reset.flags)).toBe('R')
    expect(reset.sequence).toBe((syn.sequence + 500) | 0)
    expect(decisions).toEqual([])
  })

  it('meets a guest that opens the same connection at the same time (RFC 9293 §3.5 figure 7)', () => {
    const peer = new ScriptedPeer({ family })
    const { socket, decisions } = open(peer)
    const syn = peer.take()
    peer.send({ ...ends, flags: SYN, sequence: peer.initial, options: synOptions({ mss: 1400 }) })
    const answer = peer.take()
    expect(flagNames(answer.flags)).toBe('SA')
    expect([answer.sequence, answer.acknowledgment]).toEqual([syn.sequence, peer.initial + 1])
    expect(peer.host.sockets).toHaveLength(1)
    peer.sequence = peer.initial + 1
    peer.acknowledgment = (syn.sequence + 1) | 0
    peer.send({ ...ends, flags: SYN | ACK, sequence: peer.initial })
    peer.send({ ...ends, flags: ACK })
    expect(decisions).toEqual([true])
    peer.takeAll()
    socket.push(pattern(70))
    expect(peer.take().payload).toEqual(pattern(70))
  })

  it("chooses another port where the client's is taken", () => {
    const peer = new ScriptedPeer({ family })
    open(peer)
    open(peer)
    const [first, second] = peer.takeAll()
    expect(first?.remotePort).toBe(CLIENT_PORT)
    expect(second?.remotePort).toBeGreaterThanOrEqual(32_768)
    expect(second?.remotePort).not.toBe(CLIENT_PORT)
  })

  it("refuses clients beyond the guest's flows, and those of a guest that is gone", () => {
    const peer = new ScriptedPeer({ family, limits: { tcpFlows: 1 } })
    open(peer)
    expect(open(peer).decisions).toEqual([false])
    peer.stack.portGone(peer.port)
    peer.port.isGone = true
    const { decisions, socket } = open(peer)
    expect(decisions).toEqual([false])
    expect(socket.state).toBe('reset')
  })

  it('keeps what the client sent before it closed (RFC 9293 §3.10.4)', () => {
    const peer = new ScriptedPeer({ family })
    const { socket } = open(peer, SERVER_PORT)
    const syn = peer.take()
    socket.end(pattern(200))
    peer.acknowledgment = (syn.sequence + 1) | 0
    peer.send({ guestPort: GUEST_SERVICE, flags: SYN | ACK, options: synOptions({ mss: 1400 }) })
    const [, data] = peer.takeAll()
    expect(data?.payload).toEqual(pattern(200))
    expect(flagNames(data?.flags ?? 0)).toBe('FPA')
  })
})
