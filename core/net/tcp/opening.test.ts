// How connections of a guest begin, or do not: net cases 1–5, 18, 22, 26, 27.
import { describe, expect, it } from 'vitest'
import { EACCES, ECONNREFUSED, EHOSTUNREACH, EMFILE, ENETUNREACH, ETIMEDOUT } from '../../sys/errno.ts'
import { GUEST_PORT, ScriptedPeer, SERVER_PORT } from './scripted-peer.fixture.ts'
import { flagNames, pattern, synOptions } from './segment-text.fixture.ts'
import { ACK, FIN, PSH, RST, SYN } from './tcp-header.ts'

describe.each([4, 6] as const)('TCP over IPv%i, opening', (family) => {
  const mss = family === 4 ? 1460 : 1440

  it('answers a SYN only after the host has connected (RFC 9293 §3.7.1)', () => {
    const peer = new ScriptedPeer({ family })
    peer.sendSyn({ mss: 1460, windowShift: 7, sack: true })
    expect(peer.sent).toHaveLength(0)
    expect(peer.host.sockets).toHaveLength(1)
    peer.socket.connected()
    const answer = peer.take()
    expect(flagNames(answer.flags)).toBe('SA')
    expect(answer.acknowledgment).toBe(peer.initial + 1)
    expect(peer.sent).toHaveLength(0)
  })

  it('offers its MSS, a window scale and SACK where the guest does (RFC 7323 §2.2, RFC 2018 §2)', () => {
    const peer = new ScriptedPeer({ family })
    peer.sendSyn({ mss: 1460, windowShift: 7, sack: true })
    peer.socket.connected()
    const { options } = peer.take()
    expect([...options]).toEqual([2, 4, mss >>> 8, mss & 255, 1, 3, 3, 5, 1, 1, 4, 2])
  })

  it('offers no option that the guest did not: MSS alone, and no timestamps (RFC 7323 §2.2, §3)', () => {
    const peer = new ScriptedPeer({ family })
    // Timestamps and an option that nobody knows.
    peer.sendSyn({}, { options: Uint8Array.of(8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 254, 4, 1, 2) })
    peer.socket.connected()
    expect([...peer.take().options]).toEqual([2, 4, mss >>> 8, mss & 255])
  })

  it('opens no second socket for a SYN that is repeated (RFC 9293 §3.10.7.4)', () => {
    const peer = new ScriptedPeer({ family })
    peer.sendSyn()
    peer.sendSyn()
    expect(peer.host.sockets).toHaveLength(1)
    expect(peer.sent).toHaveLength(0)
    peer.socket.connected()
    const first = peer.take()
    peer.sendSyn()
    const again = peer.take()
    expect(flagNames(again.flags)).toBe('SA')
    expect(again.sequence).toBe(first.sequence)
    expect(peer.host.sockets).toHaveLength(1)
  })

  it('takes another SYN while it connects for a new attempt (RFC 9293 §3.10.7.4)', () => {
    const peer = new ScriptedPeer({ family })
    peer.sendSyn()
    peer.sendSyn({}, { sequence: 777_000 })
    peer.socket.connected()
    expect(peer.take().acknowledgment).toBe(777_001)
    expect(peer.host.sockets).toHaveLength(1)
  })

  it('answers a SYN with other numbers in SYN-RECEIVED and ESTABLISHED by a challenge (RFC 5961 §4)', () => {
    const peer = new ScriptedPeer({ family })
    peer.sendSyn()
    peer.socket.connected()
    const answer = peer.take()
    peer.sendSyn({}, { sequence: 5_000_000 })
    const challenge = peer.take()
    expect(flagNames(challenge.flags)).toBe('A')
    expect(challenge.acknowledgment).toBe(peer.initial + 1)
    peer.sequence = peer.initial + 1
    peer.acknowledgment = (answer.sequence + 1) | 0
    peer.send({ flags: ACK })
    peer.send({ flags: SYN, sequence: peer.sequence })
    expect(flagNames(peer.take().flags)).toBe('A')
    expect(peer.socket.state).toBe('open')
  })

  it('resets a guest that is refused: ack = its sequence number + 1 (RFC 9293 §3.5.2)', () => {
    const peer = new ScriptedPeer({ family })
    peer.sendSyn()
    peer.socket.refused(ECONNREFUSED)
    const answer = peer.take()
    expect(flagNames(answer.flags)).toBe('RA')
    expect(answer.sequence).toBe(0)
    expect(answer.acknowledgment).toBe(peer.initial + 1)
    expect(peer.stack.flowCount).toBe(0)
  })

  it.each([
    [EHOSTUNREACH, 'host-unreachable'],
    [ENETUNREACH, 'network-unreachable'],
    [EACCES, 'prohibited'],
  ] as const)('says by ICMP that errno %i is in the way (RFC 1122 §4.2.3.9)', (errno, kind) => {
    const later = new ScriptedPeer({ family })
    later.sendSyn()
    later.socket.refused(errno)
    const atOnce = new ScriptedPeer({ family })
    atOnce.host.connectErrno = errno
    atOnce.sendSyn()
    for (const peer of [later, atOnce]) {
      expect(peer.icmp.errors).toEqual([{ kind, sequence: peer.initial }])
      expect(peer.sent).toHaveLength(0)
      expect(peer.stack.flowCount).toBe(0)
    }
  })

  it('says nothing of a connection that timed out, and resets what comes later (RFC 9293 §3.5.2)', () => {
    const peer = new ScriptedPeer({ family })
    peer.sendSyn()
    peer.socket.refused(ETIMEDOUT)
    expect(peer.sent).toHaveLength(0)
    expect(peer.icmp.errors).toHaveLength(0)
    peer.send({ flags: ACK, acknowledgment: 55 })
    expect(flagNames(peer.take().flags)).toBe('R')
  })

  it('resets a guest when the engine has no descriptors left, and counts it', () => {
    const peer = new ScriptedPeer({ family })
    peer.host.connectErrno = EMFILE
    peer.sendSyn()
    expect(flagNames(peer.take().flags)).toBe('RA')
    expect([...peer.port.drops].reduce((sum, count) => sum + count)).toBe(1)
  })

  it('resets a segment of no flow: in its own numbers with ACK, by acknowledging it without (RFC 9293 §3.5.2)', () => {
    const peer = new ScriptedPeer({ family })
    peer.send({ flags: ACK | PSH, acknowledgment: 12_345, payload: pattern(10) })
    const inTheirNumbers = peer.take()
    expect(flagNames(inTheirNumbers.flags)).toBe('R')
    expect(inTheirNumbers.sequence).toBe(12_345)
    peer.send({ flags: FIN, sequence: 900, payload: pattern(10) })
    const acknowledging = peer.take()
    expect(flagNames(acknowledging.flags)).toBe('RA')
    expect(acknowledging.acknowledgment).toBe(911)
    expect([inTheirNumbers.guestPort, inTheirNumbers.remotePort]).toEqual([GUEST_PORT, SERVER_PORT])
  })

  it('never answers a reset (RFC 9293 §3.5.2)', () => {
    const peer = new ScriptedPeer({ family })
    peer.send({ flags: RST, sequence: 1 })
    peer.send({ flags: RST | ACK, sequence: 1 })
    expect(peer.sent).toHaveLength(0)
  })

  it('resets what the engine before it knew, so that clients connect again at once (RFC 9293 §3.5.2)', () => {
    const before = new ScriptedPeer({ family })
    before.connect()
    const after = new ScriptedPeer({ family })
    after.send({
      flags: ACK | PSH,
      sequence: before.sequence,
      acknowledgment: before.acknowledgment,
      payload: pattern(5),
    })
    const reset = after.take()
    expect(flagNames(reset.flags)).toBe('R')
    expect(reset.sequence).toBe(before.acknowledgment)
    after.connect()
    expect(after.socket.state).toBe('open')
  })

  it('resets the guest when its policy or a closed range forbids the place', () => {
    for (const verdict of ['closed-range', 'policy'] as const) {
      const peer = new ScriptedPeer({ family, verdict })
      peer.sendSyn()
      expect(flagNames(peer.take().flags)).toBe('RA')
      expect(peer.host.sockets).toHaveLength(0)
    }
  })

  it("joins the gateway's own services at once, and resets where there is none", () => {
    const peer = new ScriptedPeer({
      family,
      localService: (self, remotePort) => (remotePort === 53 ? self.host.open(53).fd : -ECONNREFUSED),
    })
    peer.sendInTurn({ flags: SYN, remotePort: 53, options: synOptions({ mss: 1460 }) }, peer.gateway)
    expect(flagNames(peer.take().flags)).toBe('SA')
    peer.sendInTurn({ flags: SYN, remotePort: 54 }, peer.gateway)
    expect(flagNames(peer.take().flags)).toBe('RA')
    expect(peer.host.sockets).toHaveLength(1)
  })

  it('chooses initial numbers by a secret and the clock: not twice the same, not after a restart (RFC 6528 §3)', () => {
    const first = new ScriptedPeer({ family })
    first.connect()
    const second = new ScriptedPeer({ family })
    second.connect()
    expect(second.stackInitial).not.toBe(first.stackInitial)
    // The same 4-tuple later: beyond the old one's numbers by the clock's steps.
    first.send({ flags: RST })
    first.pass(1_000)
    const { stackInitial } = first
    first.sequence = first.initial
    first.connect()
    expect((first.stackInitial - stackInitial) | 0).toBeGreaterThanOrEqual(250_000)
    expect((first.stackInitial - stackInitial) | 0).toBeLessThan(300_000)
  })

  it.each([
    ['a length of 0', [2, 0, 5, 180]],
    ['a length of 1', [3, 1, 7, 1]],
    ['a length beyond the header', [2, 40, 5, 180]],
    ['no length at all', [1, 1, 1, 3]],
    ['a repeated MSS, of which the last counts', [2, 4, 0, 1, 2, 4, 5, 180]],
    ['a wrong length for its kind', [2, 3, 5, 1, 3, 4, 7, 7, 4, 3, 1, 0]],
    ['nothing but padding', [1, 1, 1, 1, 0, 0, 0, 0]],
  ])('survives options with %s (RFC 9293 §3.1)', (_what, options) => {
    const peer = new ScriptedPeer({ family })
    peer.sendSyn({}, { options: Uint8Array.from(options) })
    peer.socket.connected()
    const answer = peer.take()
    expect([...answer.options]).toEqual([2, 4, mss >>> 8, mss & 255])
    peer.acknowledgment = (answer.sequence + 1) | 0
    peer.send({ flags: ACK })
    peer.sendData(pattern(100))
    expect(peer.socket.received).toEqual(pattern(100))
  })

  it('lets no option pass for SACK or scale that is cut off by the end of the list (RFC 9293 §3.1)', () => {
    const peer = new ScriptedPeer({ family })
    peer.sendSyn({}, { options: Uint8Array.of(0, 3, 3, 7, 4, 2, 1, 1) })
    peer.socket.connected()
    expect(peer.take().options).toHaveLength(4)
  })

  it('ignores reserved bits and those of ECN (RFC 9293 §3.1, RFC 3168 §6.1.1)', () => {
    const peer = new ScriptedPeer({ family })
    peer.sendSyn({ mss: 1460 }, { flags: SYN | 0x40 | 0x80 })
    peer.socket.connected()
    const answer = peer.take()
    expect(answer.flags).toBe(SYN | ACK)
    peer.acknowledgment = (answer.sequence + 1) | 0
    peer.send({ flags: ACK | 0x80 })
    peer.sendData(pattern(20), ACK | 0x40)
    expect(peer.socket.received).toEqual(pattern(20))
  })

  it('takes a shift above 14 for 14, and never scales the window of a SYN (RFC 7323 §2.2–2.3)', () => {
    const peer = new ScriptedPeer({ family })
    const socket = peer.connect({ mss: 1460, windowShift: 15, window: 4_000 })
    peer.windowShift = 14
    peer.takeAll()
    peer.ack(peer.acknowledgment, 1)
    socket.push(pattern(100_000))
    const bytes = peer.takeAll().reduce((sum, { payload }) => sum + payload.length, 0)
    expect(bytes).toBeGreaterThan(16_384 - mss)
    expect(bytes).toBeLessThanOrEqual(16_384)
  })

  it('gives a guest that scales no windows one of at most 65 535, and takes its own as it is (RFC 7323 §2.2)', () => {
    const peer = new ScriptedPeer({ family })
    const socket = peer.connect({ mss: 1460 })
    peer.takeAll()
    socket.push(pattern(200_000))
    const bytes = peer.takeAll().reduce((sum, { payload }) => sum + payload.length, 0)
    expect(bytes).toBeLessThanOrEqual(65_535)
    expect(bytes).toBeGreaterThan(65_535 - 2 * mss)
    peer.sendData(pattern(1_000))
    const answer = peer.take()
    expect(answer.window).toBeLessThanOrEqual(65_535)
    expect(answer.window).toBeGreaterThan(65_535 - 3 * mss)
  })

  it('tells a guest that scales windows of one mebibyte', () => {
    const peer = new ScriptedPeer({ family })
    peer.connect()
    peer.sendData(pattern(100))
    expect(peer.take().window << 5).toBeGreaterThan(1_048_576 - 2_000)
  })

  it('clamps a tiny MSS to 536', () => {
    const peer = new ScriptedPeer({ family })
    const socket = peer.connect({ mss: 1, windowShift: 7 })
    socket.push(pattern(5_000))
    expect(peer.take().gsoSizeBytes).toBe(536)
  })

  it('repeats the SYN-ACK after 1, 3 and 7 s and gives up in the end (RFC 6298 §2, RFC 9293 §3.8.3)', () => {
    const peer = new ScriptedPeer({ family })
    peer.sendSyn()
    peer.socket.connected()
    expect(peer.takeAll()).toHaveLength(1)
    peer.pass(1_020)
    expect(peer.takeAll()).toHaveLength(1)
    peer.pass(2_020)
    expect(peer.takeAll()).toHaveLength(1)
    peer.pass(4_020)
    expect(peer.takeAll().map(({ flags }) => flagNames(flags))).toEqual(['SA'])
    peer.pass(400_000)
    expect(
      peer
        .takeAll()
        .map(({ flags }) => flagNames(flags))
        .at(-1),
    ).toBe('RA')
    expect(peer.socket.state).toBe('reset')
    expect(peer.stack.flowCount).toBe(0)
  })

  it('refuses an acknowledgement of nothing in SYN-RECEIVED with a reset (RFC 9293 §3.10.7.4)', () => {
    const peer = new ScriptedPeer({ family })
    peer.sendSyn()
    peer.socket.connected()
    const answer = peer.take()
    peer.send({ flags: ACK, sequence: peer.initial + 1, acknowledgment: answer.sequence + 77 })
    const reset = peer.take()
    expect(flagNames(reset.flags)).toBe('R')
    expect(reset.sequence).toBe((answer.sequence + 77) | 0)
  })

  it('takes data that comes with the last part of the handshake (RFC 9293 §3.10.7.4)', () => {
    const peer = new ScriptedPeer({ family })
    peer.sendSyn({ mss: 1460 })
    peer.socket.connected()
    peer.acknowledgment = (peer.take().sequence + 1) | 0
    peer.sendData(pattern(300))
    expect(peer.socket.received).toEqual(pattern(300))
    expect(peer.take().acknowledgment).toBe(peer.sequence)
  })
})
