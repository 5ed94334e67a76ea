import { execFileSync } from 'node:child_process'
import { closeSync, openSync, readdirSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Frame } from '../frame/frame.ts'
import {
  dropsOf,
  gateway,
  gatewayIpv4,
  gatewayIpv6,
  guestIpv4,
  guestIpv6,
  guestWire,
  ipFrame,
  joinFragments,
  type RecordingDevice,
  readPacket,
  received,
  type SeenPacket,
  udpDatagram,
} from '../gateway/guest-wire.fixture.ts'
import type { GuestPort } from '../guest-port.ts'
import { IcmpErrorSender } from '../icmp/icmp-error-sender.ts'
import { PacketLoop } from '../packet/packet-loop.ts'
import { defaultLimits, type NetworkLimits } from '../settings.ts'
import { UdpFlows } from './udp-flows.ts'
import { boundSocket, UdpPeer } from './udp-peer.fixture.ts'

let nowMs = 1_000
let loop: PacketLoop
let udp: UdpFlows
let port: GuestPort
let device: RecordingDevice
let questions: { guestPort: number; bytes: Uint8Array; isIpv6: boolean }[]
let requests: number
const frame = new Frame()
const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text))
const text = (value: Uint8Array): string => Buffer.from(value).toString()

function start(limits: Partial<NetworkLimits> = {}): void {
  const merged = { ...defaultLimits, ...limits }
  udp = new UdpFlows(loop, {
    limits: merged,
    gateway,
    icmp: new IcmpErrorSender(loop, gateway, merged.icmpErrorsPerSecond),
    services: {
      dns: (_port, guestPort, question, isIpv6) => questions.push({ guestPort, bytes: question, isIpv6 }),
      dhcp: () => requests++,
    },
  })
}

beforeEach(() => {
  nowMs = 1_000
  loop = new PacketLoop({ clock: () => nowMs })
  ;({ port, device } = guestWire())
  questions = []
  requests = 0
  start()
})

afterEach(() => {
  udp.portGone(port)
  loop[Symbol.dispose]()
})

interface Sent {
  readonly to: string
  readonly toPort: number
  readonly fromPort?: number
  readonly payload?: Uint8Array
  readonly hopLimit?: number
}

/** The guest sends a datagram; it leaves at the end of the turn. */
function send({ to, toPort, fromPort = 4000, payload = bytes('hello'), hopLimit = 64 }: Sent): void {
  const from = to.includes(':') ? guestIpv6 : guestIpv4
  const datagram = udpDatagram(from, to, fromPort, toPort, payload)
  udp.frame(port, received(ipFrame({ to, protocol: 17, hopLimit, payload: datagram }), frame))
}

/** Turns the loop until the guest has been sent so many frames, and takes them. */
function guestGets(count: number): Uint8Array[] {
  for (let turns = 0; device.frames.length < count && turns < 200; turns++) loop.turn(20)
  return device.frames.splice(0)
}

const udpOf = (seen: SeenPacket) => {
  const view = new DataView(seen.payload.buffer, seen.payload.byteOffset)
  return {
    from: view.getUint16(0),
    to: view.getUint16(2),
    length: view.getUint16(4),
    data: seen.payload.subarray(8),
  }
}

/** ICMP type, code, and what it quotes. */
const icmpOf = (seen: SeenPacket) => ({
  type: seen.payload[0],
  code: seen.payload[1],
  mtu: new DataView(seen.payload.buffer, seen.payload.byteOffset).getUint32(4),
  quoted: seen.payload.subarray(8),
})

/** Does something while this process may open nothing more. */
function withoutDescriptors(action: () => void): void {
  const prlimit = (...words: string[]) => execFileSync('prlimit', ['--pid', `${process.pid}`, ...words])
  const softLimit = prlimit('--nofile', '--noheadings', '--output=SOFT').toString().trim()
  const highest = Math.max(...readdirSync('/proc/self/fd').map(Number))
  prlimit(`--nofile=${highest + 20}:`)
  const fill: number[] = []
  try {
    for (;;) fill.push(openSync('/dev/null', 'r'))
  } catch {
    action()
  } finally {
    for (const fd of fill) closeSync(fd)
    prlimit(`--nofile=${softLimit}:`)
  }
}

const openDescriptors = (): number => readdirSync('/proc/self/fd').length

describe.each([
  ['IPv4', '127.0.0.1', guestIpv4, gatewayIpv4],
  ['IPv6', '::1', guestIpv6, gatewayIpv6],
])('UDP of a guest over %s', (_family, host, guest, gatewayAddress) => {
  it('carries a datagram to the host and the answer back', () => {
    using peer = new UdpPeer(host)
    send({ to: host, toPort: peer.port })
    loop.turn(0)
    const [seen] = peer.receive()
    expect(text(seen?.bytes ?? bytes(''))).toBe('hello')
    peer.send(seen?.from ?? '', seen?.fromPort ?? 0, bytes('and you'))
    const [answer] = guestGets(1).map(readPacket)
    expect(answer).toMatchObject({ from: host, to: guest, protocol: 17 })
    expect(answer && udpOf(answer)).toMatchObject({ from: peer.port, to: 4000, length: 15 })
    expect(answer && text(udpOf(answer).data)).toBe('and you')
    expect(port.flowsOpened).toBe(1)
    expect([...udp.reports()]).toMatchObject([
      { state: 'answered', outBytes: 5, inBytes: 7, direction: 'out' },
    ])
  })

  it('keeps the order of what it gathers, of one flow and of several, and of any size', () => {
    using peer = new UdpPeer(host)
    const sizes = [5, 5, 5, 3, 0, 9, 9, 5000, 9, 1, 1]
    const frames = sizes.map((size, index) => new Uint8Array(size).fill(index + 1))
    for (const payload of frames) {
      send({ to: host, toPort: peer.port, payload })
      send({ to: host, toPort: peer.port, payload, fromPort: 4001 })
    }
    loop.turn(0)
    const seen = peer.receiveAll(frames.length * 2)
    const ports = [...new Set(seen.map(({ fromPort }) => fromPort))]
    expect(ports).toHaveLength(2)
    for (const from of ports)
      expect(seen.filter(({ fromPort }) => fromPort === from).map((datagram) => datagram.bytes)).toEqual(
        frames,
      )
  })

  it('carries more datagrams of a turn than one call takes', () => {
    using peer = new UdpPeer(host)
    const payloads = Array.from({ length: 200 }, (_, index) => bytes(`number ${index % 7} of ${index}`))
    for (const payload of payloads) send({ to: host, toPort: peer.port, payload })
    loop.turn(0)
    expect(peer.receiveAll(200).map((datagram) => text(datagram.bytes))).toEqual(payloads.map(text))
  })

  it('carries 65507 bytes, back in fragments', () => {
    using peer = new UdpPeer(host)
    send({ to: host, toPort: peer.port })
    loop.turn(0)
    const [seen] = peer.receive()
    const large = Uint8Array.from({ length: 65_507 }, (_, index) => (index * 7) & 255)
    peer.send(seen?.from ?? '', seen?.fromPort ?? 0, large)
    const count = Math.ceil(65_515 / (guest.includes(':') ? 1448 : 1480))
    const packets = guestGets(count).map(readPacket)
    expect(packets).toHaveLength(count)
    expect(device.frames).toHaveLength(0)
    const whole = joinFragments(packets)
    expect(udpOf(whole)).toMatchObject({ length: 65_515, to: 4000 })
    expect(Buffer.compare(udpOf(whole).data, large)).toBe(0)
    expect(Math.max(...packets.map(({ payload }) => payload.length))).toBeLessThanOrEqual(1480)
  })

  it('carries an empty answer', () => {
    using peer = new UdpPeer(host)
    send({ to: host, toPort: peer.port, payload: new Uint8Array(0) })
    loop.turn(0)
    const [seen] = peer.receive()
    expect(seen?.bytes).toHaveLength(0)
    peer.send(seen?.from ?? '', seen?.fromPort ?? 0, new Uint8Array(0))
    const [answer] = guestGets(1).map(readPacket)
    expect(answer && udpOf(answer)).toMatchObject({ length: 8 })
    expect([...udp.reports()]).toMatchObject([{ state: 'answered' }])
  })

  it('lets only the one that was asked answer', () => {
    using peer = new UdpPeer(host)
    using stranger = new UdpPeer(host)
    send({ to: host, toPort: peer.port })
    loop.turn(0)
    const [seen] = peer.receive()
    expect(() => stranger.send(seen?.from ?? '', seen?.fromPort ?? 0, bytes('hi'))).not.toThrow()
    peer.send(seen?.from ?? '', seen?.fromPort ?? 0, bytes('yes'))
    expect(guestGets(1).map((raw) => text(udpOf(readPacket(raw)).data))).toEqual(['yes'])
  })

  it('tells the guest of a closed port, at the first datagram and at the next', () => {
    const { port: closed } = (() => {
      using gone = new UdpPeer(host)
      return { port: gone.port }
    })()
    for (let attempt = 0; attempt < 2; attempt++) {
      send({ to: host, toPort: closed })
      const [seen] = guestGets(1).map(readPacket)
      const isIpv6 = host.includes(':')
      // The host's loopback is not shown to a guest.
      expect(seen).toMatchObject({ from: gatewayAddress, to: guest, protocol: isIpv6 ? 58 : 1 })
      expect(seen && icmpOf(seen)).toMatchObject(isIpv6 ? { type: 1, code: 4 } : { type: 3, code: 3 })
      const quoted = seen ? icmpOf(seen).quoted : new Uint8Array(0)
      const ports = new DataView(quoted.buffer, quoted.byteOffset + (isIpv6 ? 40 : 20))
      expect([ports.getUint16(0), ports.getUint16(2)]).toEqual([4000, closed])
    }
  })

  it('goes on with a flow whose port was closed for a while', () => {
    const first = new UdpPeer(host)
    const { port: number } = first
    send({ to: host, toPort: number })
    loop.turn(0)
    expect(first.receive()).toHaveLength(1)
    first[Symbol.dispose]()
    send({ to: host, toPort: number })
    guestGets(1)
    using second = new UdpPeer(host, number)
    for (const payload of ['one', 'two', 'three']) send({ to: host, toPort: number, payload: bytes(payload) })
    loop.turn(0)
    expect(second.receiveAll(3).map((datagram) => text(datagram.bytes))).toEqual(['one', 'two', 'three'])
    expect(udp.flowCount).toBe(1)
  })

  /** The guest's kernel leaves it to us to cut this into datagrams (virtio 1.2 §5.1.6.2, VIRTIO_NET_HDR_GSO_UDP_L4). */
  const sendTrain = (toPort: number, train: Uint8Array, segmentBytes: number) => {
    const datagram = udpDatagram(guest, host, 4000, toPort, train)
    const raw = ipFrame({ to: host, protocol: 17, payload: datagram })
    const header = new DataView(raw.buffer)
    header.setUint8(0, 1)
    header.setUint8(1, 5)
    const transport = host.includes(':') ? 54 : 34
    header.setUint16(2, transport + 8, true)
    header.setUint16(4, segmentBytes, true)
    header.setUint16(6, transport, true)
    header.setUint16(8, 6, true)
    udp.frame(port, received(raw, frame))
    loop.turn(0)
  }

  it('carries no train that is made to cost much', () => {
    using peer = new UdpPeer(host)
    sendTrain(peer.port, new Uint8Array(60_000), 1)
    expect(peer.receive(0)).toHaveLength(0)
    expect(dropsOf(port)).toEqual({ 'bad-offload': 1 })
  })

  it('sends a train of segments as the datagrams that it stands for', () => {
    using peer = new UdpPeer(host)
    const train = Uint8Array.from({ length: 10_500 }, (_, index) => (index / 1000) | 0)
    sendTrain(peer.port, train, 1000)
    const seen = peer.receiveAll(11)
    expect(seen.map((part) => part.bytes.length)).toEqual([...new Array<number>(10).fill(1000), 500])
    expect(Buffer.concat(seen.map((part) => part.bytes)).equals(Buffer.from(train))).toBe(true)
  })

  it('has a service at the gateway: questions of DNS go to the forwarder, and its answers come from there', () => {
    send({ to: gatewayAddress, toPort: 53, fromPort: 5353, payload: bytes('who?') })
    expect(questions).toHaveLength(1)
    expect(questions[0]).toMatchObject({ guestPort: 5353, isIpv6: host.includes(':') })
    expect(text(questions[0]?.bytes ?? bytes(''))).toBe('who?')
    udp.answerFromGateway(port, host.includes(':'), 5353, bytes('you'))
    const [answer] = guestGets(1).map(readPacket)
    expect(answer).toMatchObject({ from: gatewayAddress, to: guest })
    expect(answer && udpOf(answer)).toMatchObject({ from: 53, to: 5353 })
    expect(udp.flowCount).toBe(0)
  })

  it('has nothing else there', () => {
    send({ to: gatewayAddress, toPort: 54 })
    const [seen] = guestGets(1).map(readPacket)
    expect(seen).toMatchObject({ from: gatewayAddress })
    expect(seen && icmpOf(seen)).toMatchObject(
      host.includes(':') ? { type: 1, code: 4 } : { type: 3, code: 3 },
    )
  })

  it('publishes a port: clients of the loopback are seen as the gateway, and are answered', () => {
    const forward = boundSocket(host)
    const published = udp.addForward(() => port, forward.fd, 7000)
    using client = new UdpPeer(host)
    using other = new UdpPeer(host)
    client.send(host, forward.port, bytes('knock'))
    other.send(host, forward.port, bytes('knock too'))
    const seen = guestGets(2).map(readPacket)
    expect(seen.map((packet) => packet.from)).toEqual([gatewayAddress, gatewayAddress])
    expect(seen.map((packet) => udpOf(packet).from)).toEqual([client.port, other.port])
    expect(seen.map((packet) => udpOf(packet).to)).toEqual([7000, 7000])
    send({ to: gatewayAddress, toPort: other.port, fromPort: 7000, payload: bytes('to the other') })
    send({ to: gatewayAddress, toPort: client.port, fromPort: 7000, payload: bytes('come') })
    send({ to: gatewayAddress, toPort: client.port, fromPort: 7000, payload: bytes('in') })
    loop.turn(0)
    const answers = client.receiveAll(2)
    expect(answers.map((answer) => text(answer.bytes))).toEqual(['come', 'in'])
    expect(answers[0]).toMatchObject({ from: host, fromPort: forward.port })
    expect(other.receive().map((answer) => text(answer.bytes))).toEqual(['to the other'])
    expect([...udp.reports()].map(({ direction, state }) => `${direction} ${state}`)).toEqual([
      'in answered',
      'in answered',
    ])
    udp.removeForward(published)
    expect(udp.flowCount).toBe(0)
    udp.removeForward(published)
  })
})

describe('flows of UDP', () => {
  it('end after half a minute without an answer, three minutes with one', () => {
    using peer = new UdpPeer()
    send({ to: '127.0.0.1', toPort: peer.port })
    send({ to: '127.0.0.1', toPort: peer.port, fromPort: 4001 })
    loop.turn(0)
    const [first] = peer.receiveAll(2)
    peer.send('127.0.0.1', first?.fromPort ?? 0, bytes('yes'))
    guestGets(1)
    nowMs += 30_020
    loop.turn(0)
    expect([...udp.reports()].map(({ state }) => state)).toEqual(['answered'])
    nowMs += 149_000
    loop.turn(0)
    send({ to: '127.0.0.1', toPort: peer.port, fromPort: [...udp.reports()][0]?.guestPort ?? 0 })
    loop.turn(0)
    nowMs += 179_000
    loop.turn(0)
    expect(udp.flowCount).toBe(1)
    nowMs += 1_020
    loop.turn(0)
    expect(udp.flowCount).toBe(0)
  })

  it('give their descriptors back when their guest goes', () => {
    using peer = new UdpPeer()
    const before = openDescriptors()
    for (let index = 0; index < 20; index++)
      send({ to: '127.0.0.1', toPort: peer.port, fromPort: 100 + index })
    expect(openDescriptors()).toBe(before + 20)
    // What was gathered is sent before the sockets are closed.
    udp.portGone(port)
    expect(peer.receiveAll(20)).toHaveLength(20)
    expect(openDescriptors()).toBe(before)
    expect(udp.flowCount).toBe(0)
  })

  it('make room by their last use', () => {
    start({ udpFlows: 3 })
    using peer = new UdpPeer()
    const from = (fromPort: number) => send({ to: '127.0.0.1', toPort: peer.port, fromPort })
    from(1)
    from(2)
    from(3)
    from(1)
    from(4)
    expect([...udp.reports()].map(({ guestPort }) => guestPort).toSorted()).toEqual([1, 3, 4])
    expect(dropsOf(port)).toEqual({ 'flow-limit': 1 })
  })

  it('of the guest that has most go first when the engine is full', () => {
    start({ allUdpFlows: 4 })
    using peer = new UdpPeer()
    const greedy = port
    for (let fromPort = 1; fromPort <= 4; fromPort++) send({ to: '127.0.0.1', toPort: peer.port, fromPort })
    const other = guestWire()
    port = other.port
    send({ to: '127.0.0.1', toPort: peer.port, fromPort: 9 })
    expect(udp.flowCountOf(other.port)).toBe(1)
    expect(udp.flowCountOf(greedy)).toBe(3)
    udp.portGone(greedy)
  })

  it('are opened no faster than allowed', () => {
    start({ newFlowsPerSecond: 2 })
    using peer = new UdpPeer()
    for (let fromPort = 1; fromPort <= 4; fromPort++) send({ to: '127.0.0.1', toPort: peer.port, fromPort })
    expect(udp.flowCount).toBe(2)
    expect(dropsOf(port)).toEqual({ 'flow-rate': 2 })
  })

  it('take the place of the guest’s oldest when no descriptor is free, and of nobody else’s', () => {
    using peer = new UdpPeer()
    const from = (fromPort: number) => send({ to: '127.0.0.1', toPort: peer.port, fromPort })
    from(1)
    from(2)
    const other = guestWire()
    withoutDescriptors(() => {
      from(3)
      const mine = { port, device }
      ;({ port, device } = other)
      from(4)
      ;({ port, device } = mine)
    })
    expect([...udp.reports()].map(({ guestPort }) => guestPort).toSorted()).toEqual([2, 3])
    expect(dropsOf(port)).toEqual({})
    expect(dropsOf(other.port)).toEqual({ 'descriptor-limit': 1 })
    expect(other.device.frames.map(readPacket).map((seen) => icmpOf(seen))).toMatchObject([
      { type: 3, code: 13 },
    ])
  })

  it('obey the guest’s policy, and the guest is told', () => {
    const asked: number[][] = []
    port.policy = {
      verdict: (...question) => {
        asked.push(question)
        return 'policy'
      },
    }
    send({ to: '192.0.2.7', toPort: 99 })
    expect(asked).toEqual([[0, 0, 0xffff, 0xc0000207 | 0, 17, 99]])
    const [seen] = guestGets(1).map(readPacket)
    expect(seen && icmpOf(seen)).toMatchObject({ type: 3, code: 13 })
    expect(dropsOf(port)).toEqual({ policy: 1 })
    expect(udp.flowCount).toBe(0)
  })

  it('do not exist to groups and to port 0', () => {
    for (const to of ['224.0.0.251', '255.255.255.255', 'ff02::fb']) send({ to, toPort: 5353 })
    send({ to: '127.0.0.1', toPort: 0 })
    expect(udp.flowCount).toBe(0)
    expect(dropsOf(port)).toEqual({ multicast: 3, malformed: 1 })
    expect(device.frames).toHaveLength(0)
  })

  it('carry no answers to a device that is full, and go on later', () => {
    using peer = new UdpPeer()
    send({ to: '127.0.0.1', toPort: peer.port })
    loop.turn(0)
    const [seen] = peer.receive()
    device.isFull = true
    peer.send('127.0.0.1', seen?.fromPort ?? 0, bytes('lost'))
    loop.turn(20)
    device.isFull = false
    port.isWritable = true
    peer.send('127.0.0.1', seen?.fromPort ?? 0, bytes('found'))
    expect(guestGets(1).map((raw) => text(udpOf(readPacket(raw)).data))).toContain('found')
  })
})

describe('UDP to the gateway', () => {
  it('answers no more questions than allowed', () => {
    start({ dnsPerSecond: 2 })
    for (let index = 0; index < 4; index++) send({ to: gatewayIpv4, toPort: 53 })
    expect(questions).toHaveLength(2)
    expect(dropsOf(port)).toEqual({ rate: 2 })
  })

  it('takes renewals of DHCP', () => {
    send({ to: gatewayIpv4, toPort: 67, fromPort: 68 })
    expect(requests).toBe(1)
  })
})

describe('a published UDP port', () => {
  it('shows its clients by their own addresses, and tells apart those it must show as the gateway', () => {
    const forward = boundSocket('0.0.0.0')
    udp.addForward(() => port, forward.fd, 7000)
    using one = new UdpPeer('127.0.0.1', 0)
    using two = new UdpPeer('127.0.0.2', one.port)
    one.send('127.0.0.1', forward.port, bytes('one'))
    two.send('127.0.0.1', forward.port, bytes('two'))
    const seen = guestGets(2).map(readPacket)
    const ports = seen.map((packet) => udpOf(packet).from)
    expect(ports[0]).toBe(one.port)
    expect(ports[1]).not.toBe(one.port)
    for (const [index, packet] of seen.entries())
      send({
        to: packet.from,
        toPort: ports[index] ?? 0,
        fromPort: 7000,
        payload: bytes(`hello ${text(udpOf(packet).data)}`),
      })
    loop.turn(0)
    expect(one.receive().map((answer) => text(answer.bytes))).toEqual(['hello one'])
    expect(two.receive().map((answer) => text(answer.bytes))).toEqual(['hello two'])
  })

  it('leads nowhere while its guest has no wire', () => {
    const forward = boundSocket('127.0.0.1')
    let place: GuestPort | undefined
    udp.addForward(() => place, forward.fd, 7000)
    using client = new UdpPeer()
    client.send('127.0.0.1', forward.port, bytes('too early'))
    loop.turn(20)
    expect(udp.flowCount).toBe(0)
    place = port
    client.send('127.0.0.1', forward.port, bytes('in time'))
    expect(guestGets(1).map((raw) => text(udpOf(readPacket(raw)).data))).toEqual(['in time'])
  })

  it('survives its guest’s wire', () => {
    const forward = boundSocket('127.0.0.1')
    let place = port
    udp.addForward(() => place, forward.fd, 7000)
    using client = new UdpPeer()
    client.send('127.0.0.1', forward.port, bytes('one'))
    guestGets(1)
    udp.portGone(port)
    expect(udp.flowCount).toBe(0)
    ;({ port, device } = guestWire())
    place = port
    client.send('127.0.0.1', forward.port, bytes('two'))
    expect(guestGets(1).map((raw) => text(udpOf(readPacket(raw)).data))).toEqual(['two'])
  })
})
