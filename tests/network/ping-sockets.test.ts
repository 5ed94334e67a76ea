// Pings of guests on a host that gives the engine no raw socket: through ping sockets where net.ipv4.ping_group_range lets
// it have some, not at all where it does not.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Frame } from '../../core/net/frame/frame.ts'
import {
  dropsOf,
  echoRequest,
  gateway,
  guestIpv4,
  guestIpv6,
  guestWire,
  ipFrame,
  readPacket,
  received,
} from '../../core/net/gateway/guest-wire.fixture.ts'
import { IcmpErrorSender } from '../../core/net/icmp/icmp-error-sender.ts'
import { PacketLoop } from '../../core/net/packet/packet-loop.ts'
import { PingFlows } from '../../core/net/ping/ping-flows.ts'
import { defaultLimits } from '../../core/net/settings.ts'
import { inNamespace } from '../../core/sys/network-namespace.ts'
import { BLACK_HOLE, FAMILIES, NetworkLab, WORLD } from './support/network-lab.ts'

let lab: NetworkLab
beforeAll(async () => {
  lab = await NetworkLab.create()
  // Beyond the world there is nothing, and it says so.
  await lab.world.sysctl('net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1')
})
afterAll(() => lab[Symbol.asyncDispose]())

/** A guest's pings, with sockets of the host's namespace. */
class Pings implements Disposable {
  readonly loop = new PacketLoop()
  readonly guest = guestWire()
  readonly #frame = new Frame()
  readonly flows = new PingFlows(this.loop, {
    limits: defaultLimits,
    gateway,
    icmp: new IcmpErrorSender(this.loop, gateway, 100),
  })

  send(to: string, identifier: number, sequence: number): void {
    const from = to.includes(':') ? guestIpv6 : guestIpv4
    const payload = echoRequest(from, to, identifier, sequence, new Uint8Array(40).fill(sequence))
    const raw = ipFrame({ to, protocol: to.includes(':') ? 58 : 1, payload })
    inNamespace(lab.host.path, () => this.flows.frame(this.guest.port, received(raw, this.#frame)))
  }

  receive(
    count: number,
  ): { type: number; code: number; from: string; identifier: number; sequence: number }[] {
    const { frames } = this.guest.device
    for (let turns = 0; turns < 100 && frames.length < count; turns++) this.loop.turn(50)
    return frames.splice(0).map((raw) => {
      const { from, payload } = readPacket(raw)
      const view = new DataView(payload.buffer, payload.byteOffset)
      const [type = -1, code = -1] = payload
      return { type, code, from, identifier: view.getUint16(4), sequence: view.getUint16(6) }
    })
  }

  [Symbol.dispose](): void {
    this.flows.portGone(this.guest.port)
    this.loop[Symbol.dispose]()
  }
}

test.each(FAMILIES)('a host that allows ping sockets answers pings of %s', async (family) => {
  await lab.host.sysctl('net.ipv4.ping_group_range=0 2147483647')
  using pings = new Pings()
  for (let sequence = 1; sequence <= 3; sequence++) pings.send(WORLD[family], 0x4711, sequence)
  const type = family === 'ipv6' ? 129 : 0
  expect(pings.receive(3)).toEqual(
    [1, 2, 3].map((sequence) => ({ type, code: 0, from: WORLD[family], identifier: 0x4711, sequence })),
  )
  expect(pings.flows.flowCount).toBe(1)
})

test('what routers say reaches the guest through a ping socket too', async () => {
  await lab.host.sysctl('net.ipv4.ping_group_range=0 2147483647')
  using pings = new Pings()
  await lab.world.ip('route', 'add', 'unreachable', `${BLACK_HOLE}/32`)
  pings.send(BLACK_HOLE, 7, 9)
  const [error] = pings.receive(1)
  expect(error).toMatchObject({ type: 3, code: 1, from: WORLD.ipv4 })
  // The next one goes out although the socket has had an error.
  pings.send(BLACK_HOLE, 7, 10)
  expect(dropsOf(pings.guest.port)).toEqual({})
})

test('a host that allows none is silent, and it is counted', async () => {
  await lab.host.sysctl('net.ipv4.ping_group_range=1 0')
  using pings = new Pings()
  for (const family of FAMILIES) pings.send(WORLD[family], 1, 1)
  pings.loop.turn(20)
  expect(pings.guest.device.frames).toHaveLength(0)
  expect(dropsOf(pings.guest.port)).toEqual({ 'host-refused': 2 })
  expect(pings.flows.flowCount).toBe(0)
})
