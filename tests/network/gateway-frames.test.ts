// What the gateway and the datagram protocols write, read by tshark, which knows the protocols from others: nothing is
// malformed, and every checksum that is filled in is right.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { DatagramWriter } from '../../core/net/fragments/datagram-writer.ts'
import { announceByArp } from '../../core/net/gateway/arp.ts'
import { answerDhcp } from '../../core/net/gateway/dhcp.ts'
import { encodeDomainNames } from '../../core/net/gateway/domain-names.ts'
import {
  addressBytes,
  gateway,
  guestMac,
  guestWire,
  ipFrame,
  received,
  udpDatagram,
} from '../../core/net/gateway/guest-wire.fixture.ts'
import { announceByAdvertisement } from '../../core/net/gateway/neighbour-discovery.ts'
import { writeRouterAdvertisement } from '../../core/net/gateway/router-advertisement.ts'
import { IcmpErrorSender } from '../../core/net/icmp/icmp-error-sender.ts'
import { PacketLoop } from '../../core/net/packet/packet-loop.ts'
import { PinnedBuffer } from '../../core/sys/pinned-buffer.ts'

const folder = mkdtempSync(join(tmpdir(), 'frames-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** A capture file of Ethernet frames: https://wiki.wireshark.org/Development/LibpcapFileFormat. */
function captureFile(frames: readonly Uint8Array[]): string {
  const word = (value: number) => {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32LE(value >>> 0)
    return bytes
  }
  const parts = [0xa1b2c3d4, 0x0004_0002, 0, 0, 262_144, 1].map(word)
  for (const [index, frame] of frames.entries()) {
    const ethernet = frame.subarray(10)
    parts.push(word(index), word(0), word(ethernet.length), word(ethernet.length), Buffer.from(ethernet))
  }
  const path = join(folder, 'frames.pcap')
  writeFileSync(path, Buffer.concat(parts))
  return path
}

/** The fields of each frame that tshark finds; of fields that occur more than once all, with commas between. */
function decode(frames: readonly Uint8Array[], fields: readonly string[]): Record<string, string>[] {
  const checks = ['ip', 'udp'].flatMap((protocol) => ['-o', `${protocol}.check_checksum:TRUE`])
  const words = ['-r', captureFile(frames), ...checks, '-T', 'fields', '-E', 'separator=|']
  const lines = execFileSync('tshark', [...words, ...fields.flatMap((field) => ['-e', field])], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  return lines
    .toString()
    .trimEnd()
    .split('\n')
    .map((line) => Object.fromEntries(line.split('|').map((value, index) => [fields[index] ?? '', value])))
}

const FAULTS = [
  '_ws.malformed',
  'ip.checksum.status',
  'udp.checksum.status',
  'icmp.checksum.status',
  'icmpv6.checksum.status',
]
/** Of tshark's checksum states: 1 is good, 2 cannot be told (a quoted packet that was cut off). */
const isSound = (frame: Record<string, string>): boolean =>
  frame['_ws.malformed'] === '' &&
  FAULTS.slice(1).every((field) =>
    (frame[field] ?? '').split(',').every((state) => ['', '1', '2'].includes(state)),
  )

const target = new PinnedBuffer(4096)
const search = encodeDomainNames(['example.org', 'lab.example.org'])

test('announcements and router advertisements are what they shall be', () => {
  const { port } = guestWire({ configuration: 'foreign' })
  const take = (length: number) => target.bytes.slice(0, length)
  const frames = [
    take(announceByArp(port, gateway, target)),
    take(announceByAdvertisement(port, gateway, gateway.ipv6, target)),
    take(writeRouterAdvertisement(target, port, gateway, search)),
  ]
  const fields = [...FAULTS, 'arp.isgratuitous', 'icmpv6.nd.na.flag.r', 'icmpv6.nd.ra.router_lifetime']
  const options = [
    'icmpv6.opt.mtu',
    'icmpv6.opt.prefix',
    'icmpv6.opt.prefix.flag.a',
    'icmpv6.opt.rdnss',
    'icmpv6.opt.dnssl',
  ]
  const [arp, neighbour, router] = decode(frames, [...fields, ...options])
  for (const frame of [arp, neighbour, router]) expect(frame && isSound(frame)).toBe(true)
  expect(arp).toMatchObject({ 'arp.isgratuitous': expect.stringMatching(/1|True/) })
  expect(neighbour).toMatchObject({ 'icmpv6.nd.na.flag.r': expect.stringMatching(/1|True/) })
  expect(router).toMatchObject({
    'icmpv6.nd.ra.router_lifetime': '1800',
    'icmpv6.opt.mtu': '1500',
    'icmpv6.opt.prefix': 'fdd4:1476:6c7e::',
    'icmpv6.opt.prefix.flag.a': expect.stringMatching(/1|True/),
    'icmpv6.opt.rdnss': 'fdd4:1476:6c7e::1',
    'icmpv6.opt.dnssl': 'example.org,lab.example.org',
  })
})

test('an offer of DHCP is understood whole', () => {
  const { port } = guestWire()
  const zeros = (count: number) => new Uint8Array(count)
  const head = [1, 1, 6, 0, 1, 2, 3, 4, ...zeros(20), ...guestMac, ...zeros(10 + 64 + 128)]
  const message = Uint8Array.of(...head, 0x63, 0x82, 0x53, 0x63, 53, 1, 1, 57, 2, 5, 0xdc, 255)
  const payload = udpDatagram('0.0.0.0', '255.255.255.255', 68, 67, message)
  const frame = received(ipFrame({ from: '0.0.0.0', to: '255.255.255.255', protocol: 17, payload }))
  const text = (value: string) => Uint8Array.from(Buffer.from(value))
  const names = { hostName: text('web'), domainName: text('guest'), search }
  const length = answerDhcp(port, frame, gateway, names, target)
  const wanted = {
    'dhcp.ip.your': '10.75.1.3',
    'dhcp.option.dhcp': '2',
    'dhcp.option.subnet_mask': '255.255.0.0',
    'dhcp.option.router': '10.75.0.1',
    'dhcp.option.domain_name_server': '10.75.0.1',
    'dhcp.option.hostname': 'web',
    'dhcp.option.domain_name': 'guest',
    'dhcp.option.interface_mtu': '1500',
    'dhcp.option.broadcast_address': '10.75.255.255',
    'dhcp.option.ip_address_lease_time': '86400',
    'dhcp.option.dhcp_server_id': '10.75.0.1',
    'dhcp.option.renewal_time_value': '43200',
    'dhcp.option.rebinding_time_value': '75600',
  }
  const [offer] = decode(
    [target.bytes.slice(0, length)],
    [...FAULTS, ...Object.keys(wanted), 'dhcp.option.type'],
  )
  expect(offer && isSound(offer)).toBe(true)
  expect(offer).toMatchObject(wanted)
  expect(offer?.['dhcp.option.type']?.split(',')).toEqual(expect.arrayContaining(['119', '121']))
})

test('fragments are put together to the datagram that was sent, its checksum right', () => {
  const { port, device } = guestWire()
  const writer = new DatagramWriter(target, gateway.mac)
  const payload = new PinnedBuffer(8_000)
  payload.bytes.set(Uint8Array.from({ length: 8_000 }, (_, index) => index & 255))
  for (const isIpv6 of [false, true]) {
    const view = writer.target.view
    const transport = writer.begin(isIpv6)
    view.setUint16(transport, 9)
    view.setUint16(transport + 2, 10)
    view.setUint16(transport + 4, 8_008)
    const source = new DataView(addressBytes('2001:db8::1').buffer)
    writer.send(
      port,
      ...((isIpv6 ? [0, 4, 8, 12].map((at) => source.getInt32(at)) : [0, 0, 0xffff, 0xc0000201 | 0]) as [
        number,
        number,
        number,
        number,
      ]),
      ...([17, 8, payload, 0, 8_000] as const),
    )
  }
  const seen = decode(device.frames, [...FAULTS, 'udp.length'])
  for (const frame of seen) expect(isSound(frame)).toBe(true)
  expect(seen.map((frame) => frame['udp.length']).filter((length) => length !== '')).toEqual(['8008', '8008'])
  expect(seen.filter((frame) => frame['udp.checksum.status'] === '1')).toHaveLength(2)
})

test('ICMP errors quote what tshark can read', () => {
  const { port, device } = guestWire()
  using loop = new PacketLoop()
  const icmp = new IcmpErrorSender(loop, gateway, 100)
  for (const [from, to] of [
    ['10.75.1.3', '192.0.2.1'],
    ['fdd4:1476:6c7e::a4b:103', '2001:db8::1'],
  ] as const) {
    const payload = udpDatagram(from, to, 4000, 5000, new Uint8Array(40))
    icmp.answer(port, received(ipFrame({ to, protocol: 17, payload })), 'too-big', 1_400)
  }
  const packet = { protocol: 6, guestPort: 4000, remotePort: 5000, sequence: 77 }
  icmp.about(
    port,
    { ...packet, remote0: 0, remote1: 0, remote2: 0xffff, remote3: 0xc0000201 | 0 },
    'host-unreachable',
  )
  icmp.about(port, { ...packet, remote0: 0x20010db8, remote1: 0, remote2: 0, remote3: 1 }, 'host-unreachable')
  const seen = decode(device.frames, [...FAULTS, 'icmp.mtu', 'icmpv6.mtu', 'udp.dstport', 'tcp.dstport'])
  for (const frame of seen) expect(isSound(frame)).toBe(true)
  expect(
    seen.map((frame) => [frame['icmp.mtu'], frame['icmpv6.mtu'], frame['udp.dstport'], frame['tcp.dstport']]),
  ).toEqual([
    ['1400', '', '5000', ''],
    ['', '1400', '5000', ''],
    ['', '', '', '5000'],
    ['', '', '', '5000'],
  ])
})
