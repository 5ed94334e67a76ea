// Packet sockets (packet(7)) on a guest's vif: whole frames with the virtio-net header in front, so that frames of 64 KiB
// pass in both directions. Opened in the network namespace of the calling thread; the descriptor works from anywhere.
import { ENODEV } from './errno.ts'
import { ioctl } from './libc.ts'
import { PinnedBuffer } from './pinned-buffer.ts'
import {
  bindSocket,
  closeDescriptor,
  openSocket,
  SOCK_RAW,
  SOL_SOCKET,
  setSocketOption,
  socketName,
  socketOptionInto,
} from './socket.ts'
import { SystemError } from './system-error.ts'

// linux/if_packet.h, linux/if_ether.h, asm-generic/socket.h, linux/sockios.h
const AF_PACKET = 17
const ETH_P_ALL = 3
const SOL_PACKET = 263
const PACKET_STATISTICS = 6
const PACKET_VNET_HDR = 15
const PACKET_IGNORE_OUTGOING = 23
const SO_SNDBUFFORCE = 32
const SO_RCVBUFFORCE = 33
const SIOCGIFINDEX = 0x8933

/** struct ifreq: name at 0, the rest at 16. */
const IFREQ_BYTES = 40
const IFNAME_BYTES = 16
const IFREQ_VALUE = 16
/** struct sockaddr_ll: family, protocol (big endian), interface index. */
const SOCKADDR_LL_BYTES = 20

/**
 * Frames wait here while the engine is busy, counted with what the kernel keeps around them: the default of 208 KiB holds
 * two or three large ones.
 */
const RECEIVE_BUFFER_BYTES = 32 * 1024 * 1024
const SEND_BUFFER_BYTES = 8 * 1024 * 1024

export interface PacketSocketOptions {
  readonly receiveBufferBytes?: number
  readonly sendBufferBytes?: number
}

/** A non-blocking packet socket on `interfaceName`. Throws SystemError (ENODEV, EPERM). */
export function openPacketSocket(interfaceName: string, options: PacketSocketOptions = {}): number {
  const action = `open a packet socket on ${interfaceName}`
  // Protocol 0: nothing arrives before bind(), when headers and buffer are set.
  const fd = must(openSocket(AF_PACKET, SOCK_RAW, 0), action)
  try {
    const set = (level: number, name: number, value: number) =>
      must(setSocketOption(fd, level, name, value), action)
    set(SOL_PACKET, PACKET_VNET_HDR, 1)
    set(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    set(SOL_SOCKET, SO_RCVBUFFORCE, options.receiveBufferBytes ?? RECEIVE_BUFFER_BYTES)
    set(SOL_SOCKET, SO_SNDBUFFORCE, options.sendBufferBytes ?? SEND_BUFFER_BYTES)
    const address = new PinnedBuffer(SOCKADDR_LL_BYTES)
    address.view.setUint16(0, AF_PACKET, true)
    address.view.setUint16(2, ETH_P_ALL)
    address.view.setInt32(4, interfaceIndex(fd, interfaceName, action), true)
    must(bindSocket(fd, address, SOCKADDR_LL_BYTES), action)
    return fd
  } catch (error) {
    closeDescriptor(fd)
    throw error
  }
}

const boundAddress = new PinnedBuffer(SOCKADDR_LL_BYTES)

/** The index of the interface that the socket is bound to; -1 once the interface is removed, or a negative errno. */
export function boundInterface(fd: number): number {
  const failed = socketName(fd, boundAddress)
  return failed < 0 ? failed : boundAddress.view.getInt32(4, true)
}

const statistics = new PinnedBuffer(16)

/** Frames that the kernel had no room for since the last call (tp_drops); 0 where it does not say. */
export function takePacketDrops(fd: number): number {
  // struct tpacket_stats: tp_packets, tp_drops. Reading clears them.
  return socketOptionInto(fd, SOL_PACKET, PACKET_STATISTICS, statistics) < 8
    ? 0
    : statistics.view.getUint32(4, true)
}

function interfaceIndex(fd: number, interfaceName: string, action: string): number {
  const request = new PinnedBuffer(IFREQ_BYTES)
  const name = Buffer.from(interfaceName, 'latin1')
  if (name.length === 0 || name.length >= IFNAME_BYTES) throw new SystemError(action, ENODEV)
  request.bytes.set(name)
  ioctl(fd, SIOCGIFINDEX, request.address, action)
  return request.view.getInt32(IFREQ_VALUE, true)
}

function must(result: number, action: string): number {
  if (result < 0) throw new SystemError(action, -result)
  return result
}
