// From the host's sockets to the guests: what waits in a socket is taken in batches and written to the guest, datagram by
// datagram. A socket that has more than its share of a turn goes on in the next.
import { DatagramReceiver } from '../../sys/datagram-batch.ts'
import { EAGAIN } from '../../sys/errno.ts'
import type { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { SOL_SOCKET, setSocketOption } from '../../sys/socket.ts'
import { SocketAddress } from '../../sys/socket-address.ts'
import type { DatagramWriter } from '../fragments/datagram-writer.ts'
import { PROTOCOL_UDP, UDP_HEADER_BYTES } from '../frame/layout.ts'
import type { UdpFlow } from './udp-flow.ts'
import type { UdpForward } from './udp-forward.ts'

const BATCHES_PER_TURN = 4
/** Errors of earlier datagrams that one read may meet before it is an error of its own. */
const MAX_ERRORS = 4

const SO_RCVBUF = 8
/** For sockets that bring many datagrams at once, as far as the host allows (net.core.rmem_max). Others keep the default. */
const BUSY_BUFFER_BYTES = 2_097_152

/** What became of a socket that was read. */
export type ReceiveOutcome = 'drained' | 'more'

export class UdpInput {
  readonly #writer: DatagramWriter
  readonly #receiver = new DatagramReceiver()
  readonly #addressed = new DatagramReceiver({ withAddress: true, withControl: true })
  readonly #client = new SocketAddress()
  readonly #local = new SocketAddress()

  constructor(writer: DatagramWriter) {
    this.#writer = writer
  }

  /** Takes what waits in the flow's socket. `drainErrors` reads its error queue. */
  receive(flow: UdpFlow, drainErrors: (flow: UdpFlow) => void): ReceiveOutcome {
    let errors = 0
    for (let batch = 0; batch < BATCHES_PER_TURN; ) {
      const count = this.#receiver.receive(flow.fd)
      if (count < 0) {
        if (count === -EAGAIN || ++errors > MAX_ERRORS) return 'drained'
        drainErrors(flow)
        continue
      }
      for (let index = 0; index < count; index++) {
        const length = this.#receiver.length(index)
        this.write(flow, this.#receiver.buffer, this.#receiver.offset(index), length)
      }
      // Fewer than asked for: the socket is empty, or has an error that makes an event of its own.
      if (count < this.#receiver.capacity) return 'drained'
      if (!flow.hasLargeBuffer) {
        flow.hasLargeBuffer = true
        setSocketOption(flow.fd, SOL_SOCKET, SO_RCVBUF, BUSY_BUFFER_BYTES)
      }
      batch++
    }
    return 'more'
  }

  /** Takes what waits in a published port. `flowOf` finds the flow of a client, or makes it. */
  receiveForward(
    forward: UdpForward,
    flowOf: (forward: UdpForward, client: SocketAddress, local: SocketAddress) => UdpFlow | undefined,
  ): ReceiveOutcome {
    const receiver = this.#addressed
    const client = this.#client
    const local = this.#local
    for (let batch = 0; batch < BATCHES_PER_TURN; batch++) {
      const count = receiver.receive(forward.fd)
      if (count < 0) return 'drained'
      for (let index = 0; index < count; index++) {
        if (!receiver.sender(index, client)) continue
        if (!receiver.localAddress(index, local)) {
          local.word0 = 0
          local.word1 = 0
          local.word2 = 0
          local.word3 = 0
        }
        const flow = flowOf(forward, client, local)
        if (flow !== undefined)
          this.write(flow, receiver.buffer, receiver.offset(index), receiver.length(index))
      }
      if (count < receiver.capacity) return 'drained'
    }
    return 'more'
  }

  /** Writes one datagram of `flow` to its guest. */
  write(flow: UdpFlow, payload: PinnedBuffer, offset: number, length: number): void {
    const writer = this.#writer
    const transport = writer.begin(flow.isIpv6)
    const { view } = writer.target
    view.setUint16(transport, flow.remotePort)
    view.setUint16(transport + 2, flow.guestPort)
    view.setUint16(transport + 4, UDP_HEADER_BYTES + length)
    view.setUint16(transport + 6, 0)
    writer.send(
      flow.port,
      flow.remote0,
      flow.remote1,
      flow.remote2,
      flow.remote3,
      PROTOCOL_UDP,
      UDP_HEADER_BYTES,
      payload,
      offset,
      length,
    )
    flow.inBytes += length
    flow.inDatagrams++
  }
}
