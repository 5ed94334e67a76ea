import { readdirSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { DatagramReceiver } from '../../sys/datagram-batch.ts'
import { DatagramMessage } from '../../sys/datagram-message.ts'
import { filterIcmp } from '../../sys/icmp-filter.ts'
import { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { AF_INET, AF_INET6, closeDescriptor, openSocket, SOCK_RAW } from '../../sys/socket.ts'
import { parseAddress } from '../address.ts'
import { Frame } from '../frame/frame.ts'
import {
  dropsOf,
  echoRequest,
  gateway,
  gatewayIpv4,
  gatewayIpv6,
  guestIpv4,
  guestIpv6,
  guestWire,
  icmpMessage,
  ipFrame,
  joinFragments,
  type RecordingDevice,
  readPacket,
  received,
  type SeenPacket,
} from '../gateway/guest-wire.fixture.ts'
import type { GuestPort } from '../guest-port.ts'
import { IcmpErrorSender } from '../icmp/icmp-error-sender.ts'
import { PacketLoop } from '../packet/packet-loop.ts'
import { defaultLimits, type NetworkLimits } from '../settings.ts'
import { PingFlows } from './ping-flows.ts'

let nowMs = 1_000
let loop: PacketLoop
let ping: PingFlows
let port: GuestPort
let device: RecordingDevice
const frame = new Frame()

const rawSocket = (isIpv6: boolean): number =>
  isIpv6 ? openSocket(AF_INET6, SOCK_RAW, 58) : openSocket(AF_INET, SOCK_RAW, 1)

function start(limits: Partial<NetworkLimits> = {}): void {
  const merged = { ...defaultLimits, ...limits }
  const icmp = new IcmpErrorSender(loop, gateway, merged.icmpErrorsPerSecond)
  ping = new PingFlows(loop, { limits: merged, gateway, icmp })
  ping.useRawSockets(rawSocket(false), rawSocket(true))
}

beforeEach(() => {
  nowMs = 1_000
  loop = new PacketLoop({ clock: () => nowMs })
  ;({ port, device } = guestWire())
})

afterEach(() => {
  ping.useRawSockets(-1, -1)
  loop[Symbol.dispose]()
})

function send(
  to: string,
  identifier: number,
  sequence: number,
  payload = new Uint8Array(56),
  hopLimit = 64,
): void {
  const isIpv6 = to.includes(':')
  const message = echoRequest(isIpv6 ? guestIpv6 : guestIpv4, to, identifier, sequence, payload)
  ping.frame(
    port,
    received(ipFrame({ to, protocol: isIpv6 ? 58 : 1, hopLimit, payload: message }).slice(0), frame),
  )
}

function guestGets(count: number): SeenPacket[] {
  for (let turns = 0; device.frames.length < count && turns < 100; turns++) loop.turn(20)
  return device.frames.splice(0).map(readPacket)
}

const echoOf = (seen: SeenPacket | undefined) => {
  if (seen === undefined) return undefined
  const view = new DataView(seen.payload.buffer, seen.payload.byteOffset)
  return { type: seen.payload[0], identifier: view.getUint16(4), sequence: view.getUint16(6) }
}

/** A raw socket that hears the requests on the loopback, and can lie. */
class Eavesdropper implements Disposable {
  readonly #isIpv6: boolean
  readonly #fd: number
  readonly #receiver = new DatagramReceiver({ capacity: 8 })
  readonly #message = new DatagramMessage()

  constructor(isIpv6: boolean) {
    this.#isIpv6 = isIpv6
    this.#fd = rawSocket(isIpv6)
    filterIcmp(this.#fd, isIpv6, [isIpv6 ? 128 : 8])
  }

  /** The identifier of the last request. */
  identifier(): number {
    const count = this.#receiver.receive(this.#fd)
    if (count <= 0) throw new Error('No request was heard')
    const at = this.#receiver.offset(count - 1) + (this.#isIpv6 ? 0 : 20)
    return this.#receiver.buffer.view.getUint16(at + 4)
  }

  say(to: string, message: Uint8Array): void {
    const [word0, word1, word2, word3] = parseAddress(to)
    const payload = new PinnedBuffer(message.length)
    payload.bytes.set(message)
    this.#message.clear()
    this.#message.to(word0, word1, word2, word3, 0)
    this.#message.send(this.#fd, payload, 0, 0, payload, 0, message.length)
  }

  [Symbol.dispose](): void {
    closeDescriptor(this.#fd)
  }
}

describe.each([
  ['IPv4', '127.0.0.1', guestIpv4, gatewayIpv4],
  ['IPv6', '::1', guestIpv6, gatewayIpv6],
])('a guest’s ping over %s', (_family, host, guest, gatewayAddress) => {
  const isIpv6 = host.includes(':')

  it('is answered with the guest’s identifier, its sequence number and its payload', () => {
    start()
    const payload = Uint8Array.from({ length: 56 }, (_, index) => index)
    send(host, 0x1234, 1, payload)
    send(host, 0x1234, 2, payload)
    const [one, two] = guestGets(2)
    expect(one).toMatchObject({ from: host, to: guest })
    expect(echoOf(one)).toEqual({ type: isIpv6 ? 129 : 0, identifier: 0x1234, sequence: 1 })
    expect(echoOf(two)).toMatchObject({ sequence: 2 })
    expect([...(one?.payload.subarray(8) ?? [])]).toEqual([...payload])
    expect([...ping.reports()]).toMatchObject([{ protocol: 'icmp', guestPort: 0x1234, state: 'answered' }])
    expect(ping.flowCountOf(port)).toBe(1)
  })

  it('may be large: it comes back in fragments', () => {
    start()
    const payload = Uint8Array.from({ length: 20_000 }, (_, index) => (index * 3) & 255)
    send(host, 7, 1, payload)
    const whole = joinFragments(guestGets(14))
    expect(Buffer.compare(whole.payload.subarray(8), payload)).toBe(0)
    expect(echoOf(whole)).toMatchObject({ identifier: 7 })
  })

  it('may be empty', () => {
    start()
    send(host, 7, 1, new Uint8Array(0))
    expect(guestGets(1)[0]?.payload).toHaveLength(8)
  })

  it('keeps two guests with the same identifier apart', () => {
    start()
    const other = guestWire()
    send(host, 9, 1)
    const mine = { port, device }
    ;({ port, device } = other)
    send(host, 9, 2)
    expect(echoOf(guestGets(1)[0])).toMatchObject({ identifier: 9, sequence: 2 })
    ;({ port, device } = mine)
    expect(echoOf(guestGets(1)[0])).toMatchObject({ identifier: 9, sequence: 1 })
    ping.portGone(other.port)
    expect(ping.flowCount).toBe(1)
  })

  it('hears what routers say about it', () => {
    start()
    using eavesdropper = new Eavesdropper(isIpv6)
    send(host, 0x55, 3)
    guestGets(1)
    const identifier = eavesdropper.identifier()
    const echo = [isIpv6 ? 128 : 8, 0, 0, 0, identifier >>> 8, identifier & 255, 0, 3]
    const request = ipFrame({
      from: host,
      to: host,
      protocol: isIpv6 ? 58 : 1,
      payload: Uint8Array.from(echo),
    })
    const type = isIpv6 ? 3 : 11
    eavesdropper.say(
      host,
      icmpMessage(host, host, Uint8Array.of(type, 0, 0, 0, 0, 0, 0, 0, ...request.subarray(24))),
    )
    const [seen] = guestGets(1)
    // It came from the host's loopback, which a guest is not shown.
    expect(seen).toMatchObject({ from: gatewayAddress, to: guest })
    expect(seen?.payload[0]).toBe(type)
    const quoted = seen?.payload.subarray(8 + (isIpv6 ? 40 : 20)) ?? new Uint8Array(0)
    expect([...quoted.subarray(4, 8)]).toEqual([0, 0x55, 0, 3])
  })

  it('takes no answers to questions of others, and none from others', () => {
    start()
    using eavesdropper = new Eavesdropper(isIpv6)
    send(host, 0x55, 3)
    guestGets(1)
    const identifier = eavesdropper.identifier()
    const reply = (id: number) =>
      Uint8Array.of(isIpv6 ? 129 : 0, 0, 0, 0, id >>> 8, id & 255, 0, 9, 1, 2, 3, 4)
    eavesdropper.say(host, icmpMessage(host, host, reply(identifier ^ 1)))
    if (!isIpv6) {
      // From 127.0.0.1, while the flow asks another.
      send('127.0.0.9', 0x56, 1)
      guestGets(1)
      eavesdropper.say('127.0.0.1', icmpMessage(host, host, reply(eavesdropper.identifier())))
    }
    // Cut off in the middle of what it quotes.
    eavesdropper.say(
      host,
      icmpMessage(host, host, Uint8Array.of(isIpv6 ? 1 : 3, 3, 0, 0, 0, 0, 0, 0, 0x45, 0)),
    )
    send(host, 0x55, 4)
    expect(guestGets(1).map(echoOf)).toEqual([{ type: isIpv6 ? 129 : 0, identifier: 0x55, sequence: 4 }])
  })
})

describe('pings', () => {
  it('are as many as allowed, and make room by their last use', () => {
    start({ pingFlows: 2 })
    for (const identifier of [1, 2, 1, 3]) send('127.0.0.1', identifier, 1)
    expect([...ping.reports()].map(({ guestPort }) => guestPort).toSorted()).toEqual([1, 3])
    expect(dropsOf(port)).toEqual({ 'flow-limit': 1 })
  })

  it('are no more a second than allowed', () => {
    start({ echoesPerSecond: 3 })
    for (let sequence = 0; sequence < 5; sequence++) send('127.0.0.1', 1, sequence)
    expect(guestGets(3)).toHaveLength(3)
    expect(dropsOf(port)).toEqual({ rate: 2 })
  })

  it('are forgotten after their time', () => {
    start()
    send('127.0.0.1', 1, 1)
    guestGets(1)
    nowMs += 29_000
    loop.turn(0)
    expect(ping.flowCount).toBe(1)
    nowMs += 1_020
    loop.turn(0)
    expect(ping.flowCount).toBe(0)
  })

  it('obey the guest’s policy', () => {
    start()
    port.policy = { verdict: () => 'closed-range' }
    send('169.254.169.254', 1, 1)
    expect(guestGets(1).map(({ payload }) => [payload[0], payload[1]])).toEqual([[3, 13]])
    expect(dropsOf(port)).toEqual({ 'closed-range': 1 })
  })

  it('give their sockets back', () => {
    const before = readdirSync('/proc/self/fd').length
    start()
    send('127.0.0.1', 1, 1)
    expect(readdirSync('/proc/self/fd').length).toBe(before + 2)
    ping.useRawSockets(-1, -1)
    expect(readdirSync('/proc/self/fd').length).toBe(before)
    expect(ping.flowCount).toBe(0)
  })
})
