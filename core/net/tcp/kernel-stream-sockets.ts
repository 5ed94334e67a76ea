// TCP sockets of the host's kernel (core/sys/socket.ts) for the packet path.
import { EINPROGRESS } from '../../sys/errno.ts'
import { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import {
  AF_INET,
  AF_INET6,
  closeDescriptor,
  connectSocket,
  discardBytes,
  MSG_PEEK,
  openSocket,
  receiveBytes,
  resetSocket,
  SHUT_WR,
  SOCK_STREAM,
  SOL_SOCKET,
  sendBytes,
  setSocketOption,
  shutdownSocket,
  takeSocketError,
} from '../../sys/socket.ts'
import { isMappedWords, writeSocketAddress } from '../../sys/socket-address.ts'
import type { StreamSockets } from './stream-sockets.ts'

const IPPROTO_TCP = 6
/** The guest's TCP has decided already what goes together: nothing is held back here (tcp(7)). */
const TCP_NODELAY = 1
/** asm-generic/socket.h. For TCP since Linux 6.9, over IPv6 since 6.11: asked, not guessed from the version. */
const SO_PEEK_OFF = 42
/** asm-generic/socket.h. Urgent data is data (RFC 6093 §5): without it the kernel takes its byte out of the stream. */
const SO_OOBINLINE = 10

export class KernelStreamSockets implements StreamSockets {
  readonly #address = new PinnedBuffer(32)
  readonly #canPeekIpv4 = canPeek(AF_INET)
  readonly #canPeekIpv6 = canPeek(AF_INET6)

  connect(remote0: number, remote1: number, remote2: number, remote3: number, port: number): number {
    const fd = openSocket(isMappedWords(remote0, remote1, remote2) ? AF_INET : AF_INET6, SOCK_STREAM)
    if (fd < 0) return fd
    setSocketOption(fd, IPPROTO_TCP, TCP_NODELAY, 1)
    setSocketOption(fd, SOL_SOCKET, SO_OOBINLINE, 1)
    const sizeBytes = writeSocketAddress(this.#address, remote0, remote1, remote2, remote3, port)
    const failed = connectSocket(fd, this.#address, sizeBytes)
    if (failed === 0 || failed === -EINPROGRESS) return fd
    closeDescriptor(fd)
    return failed
  }

  adopt(fd: number): void {
    // A socket pair (DNS, `net connect`) has no such option: it needs none.
    setSocketOption(fd, IPPROTO_TCP, TCP_NODELAY, 1)
    setSocketOption(fd, SOL_SOCKET, SO_OOBINLINE, 1)
  }

  receive(fd: number, buffer: PinnedBuffer, offset: number, length: number): number {
    return receiveBytes(fd, buffer, offset, length)
  }

  canPeek(isIpv6: boolean): boolean {
    return isIpv6 ? this.#canPeekIpv6 : this.#canPeekIpv4
  }

  setPeekOffset(fd: number, offset: number): void {
    setSocketOption(fd, SOL_SOCKET, SO_PEEK_OFF, offset)
  }

  peek(fd: number, buffer: PinnedBuffer, offset: number, length: number): number {
    return receiveBytes(fd, buffer, offset, length, MSG_PEEK)
  }

  discard(fd: number, length: number): void {
    discardBytes(fd, length)
  }

  send(fd: number, buffer: PinnedBuffer, offset: number, length: number): number {
    return sendBytes(fd, buffer, offset, length)
  }

  shutdownWrite(fd: number): void {
    shutdownSocket(fd, SHUT_WR)
  }

  takeError(fd: number): number {
    return takeSocketError(fd)
  }

  close(fd: number): void {
    closeDescriptor(fd)
  }

  reset(fd: number): void {
    resetSocket(fd)
  }
}

function canPeek(domain: number): boolean {
  const fd = openSocket(domain, SOCK_STREAM)
  if (fd < 0) return false
  const failed = setSocketOption(fd, SOL_SOCKET, SO_PEEK_OFF, 0)
  closeDescriptor(fd)
  return failed === 0
}
