// The other end of UDP flows in tests: a real socket on the host's loopback that is read and written at once, and waits in
// the kernel where it must.

import { DatagramReceiver } from '../../sys/datagram-batch.ts'
import { DatagramMessage } from '../../sys/datagram-message.ts'
import { EPOLLIN, Epoll } from '../../sys/epoll.ts'
import { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import {
  AF_INET,
  AF_INET6,
  bindSocket,
  closeDescriptor,
  openSocket,
  SOCK_DGRAM,
  socketName,
} from '../../sys/socket.ts'
import { readSocketAddress, SocketAddress, writeSocketAddress } from '../../sys/socket-address.ts'
import { type AddressWords, formatAddress, parseAddress } from '../address.ts'

export interface SeenDatagram {
  readonly from: string
  readonly fromPort: number
  readonly bytes: Uint8Array
}

/** A bound UDP socket of the host. */
export function boundSocket(address: string, port = 0): { fd: number; port: number } {
  const words = parseAddress(address)
  const fd = openSocket(address.includes(':') ? AF_INET6 : AF_INET, SOCK_DGRAM)
  const name = new PinnedBuffer(32)
  const bytes = writeSocketAddress(name, ...(words as [number, number, number, number]), port)
  const failed = bindSocket(fd, name, bytes)
  if (fd < 0 || failed < 0) throw new Error(`No socket at ${address}: ${fd} ${failed}`)
  const bound = new SocketAddress()
  socketName(fd, name)
  readSocketAddress(name, bound)
  return { fd, port: bound.port }
}

export class UdpPeer implements Disposable {
  readonly fd: number
  readonly port: number
  readonly words: AddressWords
  readonly #receiver = new DatagramReceiver({ withAddress: true })
  readonly #message = new DatagramMessage()
  readonly #epoll = new Epoll()

  constructor(address = '127.0.0.1', port = 0) {
    const bound = boundSocket(address, port)
    this.fd = bound.fd
    this.port = bound.port
    this.words = parseAddress(address)
    this.#epoll.add(this.fd, EPOLLIN, 0)
  }

  /** Waits until something is there and takes all of it. */
  receive(timeoutMs = 2_000): SeenDatagram[] {
    this.#epoll.wait(timeoutMs)
    const count = this.#receiver.receive(this.fd)
    return Array.from({ length: Math.max(0, count) }, (_, index) => {
      const from = new SocketAddress()
      this.#receiver.sender(index, from)
      const at = this.#receiver.offset(index)
      const bytes = this.#receiver.buffer.bytes.slice(at, at + this.#receiver.length(index))
      const text = formatAddress([from.word0, from.word1, from.word2, from.word3])
      return { from: text, fromPort: from.port, bytes }
    })
  }

  /** Takes datagrams until there are `count`. */
  receiveAll(count: number): SeenDatagram[] {
    const seen: SeenDatagram[] = []
    while (seen.length < count) {
      const more = this.receive()
      if (more.length === 0) throw new Error(`Only ${seen.length} of ${count} datagrams came`)
      seen.push(...more)
    }
    return seen
  }

  send(to: string, port: number, bytes: Uint8Array): void {
    const [word0, word1, word2, word3] = parseAddress(to)
    const payload = new PinnedBuffer(Math.max(1, bytes.length))
    payload.bytes.set(bytes)
    this.#message.clear()
    this.#message.to(word0, word1, word2, word3, port)
    const taken = this.#message.send(this.fd, payload, 0, 0, payload, 0, bytes.length)
    if (taken !== bytes.length) throw new Error(`The datagram was not sent: ${taken}`)
  }

  [Symbol.dispose](): void {
    this.#epoll[Symbol.dispose]()
    closeDescriptor(this.fd)
  }
}
