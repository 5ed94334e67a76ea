// Frames of a guest that knows the protocols and lies: a corpus of everything that a guest may say, in sequence with its own
// TCP connections, changed a little or a lot. By a seed, so that what was found is found again.

import { SeededRandom } from '../../seeded-random.fixture.ts'
import {
  addressBytes,
  echoFrame,
  etherFrame,
  guestFrame,
  icmpMessage,
  slowChecksum,
  tcpFrame,
  udpFrame,
} from '../frame/guest-frames.fixture.ts'
import { PROTOCOL_TCP } from '../frame/layout.ts'
import { seen } from './engine-harness.fixture.ts'

const FIN = 1
const SYN = 2
const RST = 4
const PSH = 8
const ACK = 16
const GATEWAY4 = '10.75.0.1'
const GATEWAY6 = 'fdd4:1476:6c7e::1'
const CONNECTIONS = 24

/** Who sends, and to whom. */
export interface MutatorOptions {
  readonly seed: number
  readonly mac: Uint8Array
  readonly ipv4: string
  readonly ipv6: string
  /** Addresses of the world, with TCP ports that are open and that are not. */
  readonly world: readonly string[]
  readonly ports: readonly number[]
  /** Other guests. */
  readonly neighbours: readonly string[]
}

interface Connection {
  readonly destination: string
  readonly sourcePort: number
  readonly destinationPort: number
  sequence: number
  acknowledgment: number
  isOpen: boolean
}

export class FrameMutator {
  readonly #random: SeededRandom
  readonly #options: MutatorOptions
  readonly #connections: Connection[] = []
  #nextPort = 1024

  constructor(options: MutatorOptions) {
    this.#options = options
    this.#random = new SeededRandom(options.seed)
  }

  /** The next frame. About one in five is as it should be. */
  next(): Buffer {
    const frame = this.#whole()
    frame.set(this.#options.mac, 16)
    return this.#random.chance(0.2) ? frame : this.#mutated(frame)
  }

  /** Reads a frame of the engine's, so that connections go on. Throws where it is not well-formed. */
  hear(bytes: Uint8Array): void {
    if ((bytes[22] ?? 0) * 256 + (bytes[23] ?? 0) === 0x0806) return
    const { protocol, source, transport } = seen(bytes)
    if (protocol !== PROTOCOL_TCP) return
    const connection = this.#connections.find(
      ({ destination, sourcePort, destinationPort }) =>
        destination === source &&
        sourcePort === transport.readUInt16BE(2) &&
        destinationPort === transport.readUInt16BE(0),
    )
    if (connection === undefined) return
    const flags = transport.readUInt8(13)
    if ((flags & RST) !== 0) {
      this.#connections.splice(this.#connections.indexOf(connection), 1)
      return
    }
    const length = transport.length - (transport.readUInt8(12) >> 4) * 4 + (flags & (SYN | FIN) ? 1 : 0)
    connection.acknowledgment = (transport.readUInt32BE(4) + length) >>> 0
    connection.isOpen = true
  }

  #whole(): Buffer {
    const kind = this.#random.below(100)
    if (kind < 45) return this.#tcp()
    if (kind < 60) return this.#udp()
    if (kind < 70) return echoFrame(...this.#pair(), this.#data(2_000), 1 + this.#random.below(70))
    if (kind < 80) return this.#fragment()
    if (kind < 86) return this.#icmp()
    if (kind < 92) return this.#neighbour()
    return kind < 96 ? this.#arp() : this.#dhcp()
  }

  #tcp(): Buffer {
    const random = this.#random
    const { world, neighbours, ports } = this.#options
    if (this.#connections.length < CONNECTIONS && random.chance(0.3)) {
      const destination = pick(random, [...world, ...world, ...neighbours, GATEWAY4, GATEWAY6])
      const connection: Connection = {
        destination,
        sourcePort: 1024 + (this.#nextPort++ % 60_000),
        destinationPort: pick(random, [...ports, 53, random.below(65_536)]),
        sequence: random.below(2 ** 32),
        acknowledgment: 0,
        isOpen: false,
      }
      this.#connections.push(connection)
      const options = pick(random, [
        '',
        '02040550',
        '0204055001030308',
        '020405500101040201030307',
        '0500',
        '0101',
      ])
      return this.#segment(connection, SYN, pad(Buffer.from(options, 'hex')))
    }
    const connection = pick(random, this.#connections)
    if (connection === undefined) return this.#udp()
    if (!connection.isOpen && random.chance(0.5)) return this.#segment(connection, SYN)
    const kind = random.below(20)
    if (kind === 0) this.#connections.splice(this.#connections.indexOf(connection), 1)
    if (kind === 0) return this.#segment(connection, random.chance(0.5) ? RST : RST | ACK)
    if (kind === 1) return this.#segment(connection, FIN | ACK)
    if (kind < 6) return this.#segment(connection, ACK, this.#sack(connection))
    const data = this.#data(kind < 9 ? 20_000 : 1_400)
    const frame = this.#segment(connection, ACK | (kind & 1 ? PSH : 0), Buffer.alloc(0), data)
    if (random.chance(0.85)) connection.sequence = (connection.sequence + data.length) >>> 0
    return frame
  }

  #segment(
    connection: Connection,
    flags: number,
    options: Uint8Array = new Uint8Array(0),
    data?: Uint8Array,
  ): Buffer {
    const random = this.#random
    const source = this.#own(connection.destination)
    const isLarge = (data?.length ?? 0) > 1_400
    const isIpv6 = source.includes(':')
    const virtio = {
      flags: 1,
      gsoType: isIpv6 ? 4 : 1,
      gsoSize: 1_400,
      headerLength: isIpv6 ? 74 : 54,
      checksumStart: isIpv6 ? 54 : 34,
      checksumOffset: 16,
    }
    return tcpFrame(
      {
        source,
        destination: connection.destination,
        sourcePort: connection.sourcePort,
        destinationPort: connection.destinationPort,
        flags,
        sequence: connection.sequence + (random.chance(0.15) ? random.below(200_000) - 100_000 : 0),
        acknowledgment: connection.acknowledgment + (random.chance(0.1) ? random.below(10_000) - 5_000 : 0),
        window: random.chance(0.8) ? 65_535 : random.below(3),
        options,
        ...(data === undefined ? {} : { data }),
      },
      isLarge ? { virtio } : {},
    )
  }

  #sack({ acknowledgment }: Connection): Uint8Array {
    const blocks = this.#random.below(5)
    const option = Buffer.alloc(4 + blocks * 8)
    option.set([1, 1, 5, 2 + blocks * 8])
    for (let block = 0; block < blocks * 2; block++)
      option.writeUInt32BE((acknowledgment + this.#random.below(500_000)) >>> 0, 4 + block * 4)
    return option
  }

  #udp(): Buffer {
    const [source, destination] = this.#pair()
    const random = this.#random
    const destinationPort = pick(random, [53, 67, 123, ...this.#options.ports, random.below(65_536)])
    return udpFrame(
      { source, destination, sourcePort: random.below(65_536), destinationPort },
      this.#data(1_400),
    )
  }

  #fragment(): Buffer {
    const random = this.#random
    const [source, destination] = this.#pair()
    const isIpv6 = source.includes(':')
    const offset = random.below(30) * 8 * (random.chance(0.9) ? 1 : 270)
    const more = random.chance(0.7)
    const payload = Buffer.alloc(more ? 8 * random.below(180) : random.below(1_400), 1)
    const identification = random.below(6)
    return guestFrame({
      source,
      destination,
      protocol: pick(random, [17, 1, 6, 58]),
      payload,
      identification,
      fragment: (offset >> 3) | (more ? 0x2000 : 0),
      ...(isIpv6
        ? {
            extension: {
              type: 44,
              bytes: Buffer.of(17, 0, offset >> 8, (offset & 0xf8) | (more ? 1 : 0), 0, 0, 0, identification),
            },
          }
        : {}),
    })
  }

  #icmp(): Buffer {
    const random = this.#random
    const [source, destination] = this.#pair()
    const isIpv6 = source.includes(':')
    const quoted = this.#whole().subarray(24, 24 + 28 + random.below(100))
    const type = random.chance(0.5) ? (isIpv6 ? 2 : 3) : random.below(256)
    const payload = icmpMessage(
      source,
      destination,
      type,
      random.chance(0.5) ? 4 : 0,
      Buffer.concat([Buffer.of(0, 0, 2, 64), quoted]),
    )
    return guestFrame({ source, destination, protocol: isIpv6 ? 58 : 1, payload })
  }

  #neighbour(): Buffer {
    const random = this.#random
    const source = pick(random, ['::', 'fe80::5', this.#options.ipv6])
    const destination = pick(random, ['ff02::1', 'ff02::2', 'ff02::1:ff00:1', 'fe80::1', GATEWAY6])
    const target = addressBytes(pick(random, [GATEWAY6, 'fe80::1', this.#options.ipv6, 'fdd4:1476:6c7e::9']))
    const option = Buffer.concat([Buffer.of(random.below(3), random.below(3)), this.#options.mac])
    const type = 130 + random.below(14)
    const payload = icmpMessage(
      source,
      destination,
      type,
      0,
      Buffer.concat([Buffer.alloc(4), target, option]),
    )
    const frame = guestFrame({ source, destination, protocol: 58, hopLimit: 255, payload })
    if (destination.startsWith('ff')) frame.set([0x33, 0x33, 0, 0, 0, 1], 10)
    return frame
  }

  #arp(): Buffer {
    const packet = Buffer.alloc(28)
    packet.writeUInt16BE(1, 0)
    packet.writeUInt16BE(0x0800, 2)
    packet.set([6, 4, 0, 1 + this.#random.below(2)], 4)
    packet.set(this.#options.mac, 8)
    packet.set(addressBytes(pick(this.#random, [this.#options.ipv4, '0.0.0.0', GATEWAY4])), 14)
    packet.set(addressBytes(pick(this.#random, [GATEWAY4, this.#options.ipv4, '10.75.9.9'])), 24)
    return etherFrame(0x0806, packet)
  }

  #dhcp(): Buffer {
    const message = Buffer.alloc(240 + 40)
    message.set([1, 1, 6, 0])
    message.set(this.#options.mac, 28)
    message.writeUInt32BE(0x6382_5363, 236)
    message.set([53, 1, pick(this.#random, [1, 3, 7, 8]), 50, 4, 10, 75, 1, 3, 55, 4, 1, 3, 6, 121, 255], 240)
    const ends = { source: '0.0.0.0', destination: '255.255.255.255', sourcePort: 68, destinationPort: 67 }
    return udpFrame(ends, message, { destinationMac: new Uint8Array(6).fill(255) })
  }

  /** Changes bytes, lengths or the end of a frame; often mends the checksums, so that the lie gets further. */
  #mutated(original: Buffer): Buffer {
    const random = this.#random
    let frame: Buffer = Buffer.from(original)
    for (let changes = random.below(4); changes >= 0; changes--) {
      const at = random.chance(0.8) ? random.below(Math.min(frame.length, 110)) : random.below(frame.length)
      const kind = random.below(4)
      if (kind === 0) frame[at] = random.below(256)
      else if (kind === 1) frame[at] = (frame[at] ?? 0) ^ (1 << random.below(8))
      else if (kind === 2) frame[at] = pick(random, [0, 1, 0x7f, 0x80, 0xff])
      else if (at + 2 <= frame.length) frame.writeUInt16BE(pick(random, [0, 1, 20, 1500, 0x7fff, 0xffff]), at)
    }
    if (random.chance(0.1)) frame = frame.subarray(0, 1 + random.below(frame.length))
    if (random.chance(0.05)) frame = Buffer.concat([frame, Buffer.alloc(random.below(2_000), 0xa5)])
    if (frame.length < 44) return frame
    // Most lies keep the sender, or they would all end at the first check.
    if (random.chance(0.9)) frame.set(original.subarray(10, 24), 10)
    if (random.chance(0.6)) frame[0] = (frame[0] ?? 0) | 2
    if (random.chance(0.8) && frame.readUInt16BE(22) === 0x0800) {
      const end = 24 + ((frame[24] ?? 0) & 15) * 4
      frame.writeUInt16BE(0, 34)
      if (end <= frame.length) frame.writeUInt16BE(slowChecksum(frame.subarray(24, end)), 34)
    }
    return frame
  }

  /** Two addresses of one family: the guest's own, and somebody's. */
  #pair(): [string, string] {
    const { world, neighbours } = this.#options
    const destination = pick(this.#random, [
      ...world,
      ...neighbours,
      GATEWAY4,
      GATEWAY6,
      '127.0.0.1',
      '224.0.0.1',
      'ff02::1',
    ])
    return [this.#own(destination), destination]
  }

  #own(destination: string): string {
    return destination.includes(':') ? this.#options.ipv6 : this.#options.ipv4
  }

  #data(most: number): Buffer<ArrayBuffer> {
    return Buffer.alloc(this.#random.below(most), this.#random.below(256))
  }
}

function pick<T>(random: SeededRandom, from: readonly T[]): T {
  return from[random.below(from.length)] as T
}

/** Options fill words of four bytes. */
function pad(options: Uint8Array): Uint8Array {
  return Buffer.concat([options, Buffer.alloc(-options.length & 3)])
}
