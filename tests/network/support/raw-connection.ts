// A TCP connection of a guest whose segments the test makes: enough of a peer to get one established and then to lie.
import { frame, ipv4, TCP_ACK, TCP_SYN, type TcpFields, tcp } from './raw-frames.ts'
import type { RawWire } from './raw-wire.ts'
import type { Place } from './sockets.ts'

const IPV4 = 0x0800
const TCP = 6
/** Behind the virtio-net and Ethernet headers: where the IPv4 header begins, without options 20 bytes before TCP's. */
const NETWORK = 24
const TRANSPORT = NETWORK + 20
const GSO_SIZE = 4

let lastPort = 40_000

export class RawConnection {
  readonly #wire: RawWire
  readonly #place: Place
  readonly #port = ++lastPort
  /** The next byte that is sent, and the next that is awaited. */
  sequence = 1000
  acknowledgement = 0

  private constructor(wire: RawWire, place: Place) {
    this.#wire = wire
    this.#place = place
  }

  /** Opens it with these options in its SYN. */
  static async open(wire: RawWire, place: Place, options: readonly number[] = []): Promise<RawConnection> {
    const connection = new RawConnection(wire, place)
    await connection.send({ flags: TCP_SYN, options })
    const answer = await connection.#next((flags) => (flags & TCP_SYN) !== 0)
    connection.sequence++
    connection.acknowledgement = answer.readUInt32BE(TRANSPORT + 4) + 1
    await connection.send({ flags: TCP_ACK })
    return connection
  }

  /** Sends a segment; what `fields` does not say is as it should be. Payload of an honest one moves `sequence`. */
  async send(
    fields: Partial<TcpFields> & Pick<TcpFields, 'flags'>,
    payload: Uint8Array = Buffer.alloc(0),
  ): Promise<void> {
    const { mac, ipv4: source } = this.#wire.message
    const segment = tcp(
      {
        sourcePort: this.#port,
        destinationPort: this.#place.port,
        sequence: this.sequence,
        acknowledgement: this.acknowledgement,
        ...fields,
      },
      payload,
    )
    if (fields.sequence === undefined) this.sequence += payload.length
    const packet = ipv4({ source, destination: this.#place.address, protocol: TCP }, segment)
    await this.#wire.send(frame({ sourceMac: mac }, IPV4, packet))
  }

  /** The next frame with data: how much, and into what segments it is to be cut (0: one). Nothing is acknowledged. */
  async nextData(): Promise<{ payloadBytes: number; segmentBytes: number }> {
    const data = await this.#next((_, payloadBytes) => payloadBytes > 0)
    return { payloadBytes: payloadBytesOf(data), segmentBytes: data.readUInt16LE(GSO_SIZE) }
  }

  #next(fits: (flags: number, payloadBytes: number) => boolean): Promise<Buffer> {
    return this.#wire.next(
      (candidate) =>
        candidate.length >= TRANSPORT + 20 &&
        candidate.readUInt16BE(NETWORK - 2) === IPV4 &&
        candidate.readUInt8(NETWORK + 9) === TCP &&
        candidate.readUInt16BE(TRANSPORT + 2) === this.#port &&
        fits(candidate.readUInt8(TRANSPORT + 13), payloadBytesOf(candidate)),
    )
  }
}

function payloadBytesOf(segment: Buffer): number {
  return segment.length - TRANSPORT - (segment.readUInt8(TRANSPORT + 12) >> 4) * 4
}
