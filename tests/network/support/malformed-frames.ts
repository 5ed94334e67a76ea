// One frame of each kind that no honest guest sends: lengths, offsets and sizes that contradict each other, packets that
// belong to nobody, virtio-net headers that lie. None of them may be carried, and each is counted.
import type { GuestMessage } from '../../../core/net/engine/messages.ts'
import { WORLD } from './network-lab.ts'
import { frame, ipv4, ipv6, NEEDS_CHECKSUM, TCP_SYN, tcp, udp, type VirtioHeader } from './raw-frames.ts'

const IPV4 = 0x0800
const IPV6 = 0x86dd
const VLAN = 0x8100
const TCP = 6
const UDP = 17
const HOP_BY_HOP = 0
const ROUTING = 43

/** Kinds and frames, to be sent by this guest. */
export function malformedFrames({
  mac,
  ipv4: source,
  ipv6: source6,
}: Omit<GuestMessage, 'type'>): readonly (readonly [kind: string, frame: Buffer])[] {
  const ends = { sourceMac: mac }
  const destination = WORLD.ipv4
  const good = udp(1000, 1000, Buffer.alloc(64))
  const syn = tcp({ sourcePort: 1000, destinationPort: 1000, flags: TCP_SYN })
  const packet = ipv4({ source, destination, protocol: UDP }, good)
  const segment = ipv4({ source, destination, protocol: TCP }, Buffer.concat([syn, Buffer.alloc(4000)]))
  const packet6 = (nextHeader: number, payload: Uint8Array) =>
    ipv6({ source: source6, destination: WORLD.ipv6, nextHeader }, payload)
  const lying = (virtio: VirtioHeader) => frame(ends, IPV4, segment, virtio)
  const changed = (bytes: Buffer, at: number, value: number) => {
    const copy = Buffer.from(bytes)
    copy.writeUInt8(value, at)
    return copy
  }
  return [
    ['shorter than Ethernet', frame(ends, IPV4, packet).subarray(0, 20)],
    ['Ethernet alone', frame(ends, IPV4, Buffer.alloc(0))],
    ['half an IPv4 header', frame(ends, IPV4, packet.subarray(0, 11))],
    ['IPv4 header length 4', frame(ends, IPV4, changed(packet, 0, 0x41))],
    ['IPv4 header length beyond the packet', frame(ends, IPV4, changed(packet.subarray(0, 24), 0, 0x4f))],
    [
      'IPv4 length beyond the frame',
      frame(ends, IPV4, ipv4({ source, destination, protocol: UDP, totalBytes: 900 }, good)),
    ],
    ['IPv4 length 0', frame(ends, IPV4, ipv4({ source, destination, protocol: UDP, totalBytes: 0 }, good))],
    ['IPv4 of version 5', frame(ends, IPV4, changed(packet, 0, 0x55))],
    ['IPv4 checksum', frame(ends, IPV4, changed(packet, 10, 0xaa))],
    ['half an IPv6 header', frame(ends, IPV6, packet6(UDP, good).subarray(0, 30))],
    [
      'IPv6 length beyond the frame',
      frame(
        ends,
        IPV6,
        ipv6({ source: source6, destination: WORLD.ipv6, nextHeader: UDP, payloadBytes: 9000 }, good),
      ),
    ],
    [
      'IPv6 extension header beyond the packet',
      frame(ends, IPV6, packet6(HOP_BY_HOP, Buffer.from([UDP, 200, 0, 0, 0, 0, 0, 0]))),
    ],
    [
      'IPv6 extension headers without end',
      frame(
        ends,
        IPV6,
        packet6(
          ROUTING,
          Buffer.concat(Array.from({ length: 40 }, () => Buffer.from([ROUTING, 0, 0, 0, 0, 0, 0, 0]))),
        ),
      ),
    ],
    [
      'UDP length beyond the packet',
      frame(ends, IPV4, ipv4({ source, destination, protocol: UDP }, changed(good, 4, 0xff))),
    ],
    [
      'UDP length below its header',
      frame(ends, IPV4, ipv4({ source, destination, protocol: UDP }, changed(good, 5, 7))),
    ],
    [
      'half a UDP header',
      frame(ends, IPV4, ipv4({ source, destination, protocol: UDP }, good.subarray(0, 5))),
    ],
    [
      'TCP data offset 1',
      frame(ends, IPV4, ipv4({ source, destination, protocol: TCP }, changed(syn, 12, 0x10))),
    ],
    [
      'TCP data offset beyond the segment',
      frame(ends, IPV4, ipv4({ source, destination, protocol: TCP }, changed(syn, 12, 0xf0))),
    ],
    [
      'half a TCP header',
      frame(ends, IPV4, ipv4({ source, destination, protocol: TCP }, syn.subarray(0, 13))),
    ],
    ['a VLAN tag', frame(ends, VLAN, Buffer.concat([Buffer.from([0, 5, 8, 0]), packet]))],
    ['another MAC', frame({ sourceMac: '00:16:3e:ff:ff:ff' }, IPV4, packet)],
    [
      "another guest's address",
      frame(ends, IPV4, ipv4({ source: '10.75.1.1', destination, protocol: UDP }, good)),
    ],
    [
      "the world's address",
      frame(ends, IPV4, ipv4({ source: WORLD.ipv4, destination, protocol: UDP }, good)),
    ],
    [
      'an IPv6 address that is not its own',
      frame(
        ends,
        IPV6,
        ipv6({ source: 'fdd4:1476:6c7e::a4b:101', destination: WORLD.ipv6, nextHeader: UDP }, good),
      ),
    ],
    [
      'segments of 0 bytes',
      lying({
        gsoType: 1,
        segmentBytes: 0,
        headerBytes: 54,
        flags: NEEDS_CHECKSUM,
        checksumStart: 34,
        checksumOffset: 16,
      }),
    ],
    [
      'a checksum that begins past the end',
      lying({ flags: NEEDS_CHECKSUM, checksumStart: 60_000, checksumOffset: 16 }),
    ],
    [
      'a checksum that lies past the end',
      lying({ flags: NEEDS_CHECKSUM, checksumStart: 34, checksumOffset: 60_000 }),
    ],
    [
      'an offload of no kind',
      lying({
        gsoType: 77,
        segmentBytes: 1000,
        headerBytes: 54,
        flags: NEEDS_CHECKSUM,
        checksumStart: 34,
        checksumOffset: 16,
      }),
    ],
    [
      "IPv6's offload on IPv4",
      lying({
        gsoType: 4,
        segmentBytes: 1000,
        headerBytes: 54,
        flags: NEEDS_CHECKSUM,
        checksumStart: 34,
        checksumOffset: 16,
      }),
    ],
    ['a large frame without an offload', lying({})],
  ]
}
