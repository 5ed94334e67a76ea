// How echo requests leave the host: through one raw ICMP socket for all guests, or, where there is none, through a ping
// socket for each flow.
import type { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import type { SocketAddress } from '../../sys/socket-address.ts'
import type { Frame } from '../frame/frame.ts'
import type { PingFlow } from './ping-flow.ts'

export interface EchoPath {
  /** Takes what a new flow needs: an identifier, or a socket. 0 or a negative errno. */
  open(flow: PingFlow): number
  /** Sends the echo request in hand: 0 or a negative errno. */
  send(flow: PingFlow, frame: Frame): number
  /** Lets go of what `open()` took. */
  close(flow: PingFlow): void
}

/** Who hears what comes back. */
export interface EchoReceiver {
  reply(
    flow: PingFlow,
    sequence: number,
    hopLimit: number,
    payload: PinnedBuffer,
    payloadOffset: number,
    payloadBytes: number,
  ): void
  /** An ICMP error of the flow's family about its request with this sequence number. `info` is the MTU where there is one. */
  error(
    flow: PingFlow,
    sequence: number,
    type: number,
    code: number,
    info: number,
    offender: SocketAddress | undefined,
  ): void
}
