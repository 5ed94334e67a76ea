// TAP devices (Documentation/networking/tuntap.rst) with virtio-net headers and offloads: the kernel's side of the device
// sends frames of up to 64 KiB with checksums left open and takes such frames from us. Opened in the network namespace of
// the calling thread; the descriptor works from anywhere.
import { closeSync, constants, openSync } from 'node:fs'
import { EINVAL } from './errno.ts'
import { ioctl } from './libc.ts'
import { PinnedBuffer } from './pinned-buffer.ts'
import { SystemError } from './system-error.ts'

// linux/if_tun.h
const TUNSETIFF = 0x4004_54ca
const TUNSETOFFLOAD = 0x4004_54d0
const TUNSETVNETHDRSZ = 0x4004_54d8
const TUNSETVNETLE = 0x4004_54dc
const IFF_TAP = 0x0002
const IFF_NO_PI = 0x1000
const IFF_VNET_HDR = 0x4000
const TUN_F_CSUM = 0x01
const TUN_F_TSO4 = 0x02
const TUN_F_TSO6 = 0x04

const IFREQ_BYTES = 40
const IFNAME_BYTES = 16
const IFREQ_FLAGS = 16
const VIRTIO_HEADER_BYTES = 10

export interface TapOptions {
  /** False: a guest without offloads. The kernel segments and sums for us in both directions. */
  readonly offloads?: boolean
}

/**
 * A non-blocking descriptor of the TAP `interfaceName`, which is made unless it exists. It is gone when the last descriptor
 * is closed, unless it was made to persist. Throws SystemError or the error of node:fs.
 */
export function openTapDevice(interfaceName: string, options: TapOptions = {}): number {
  const action = `open the TAP ${interfaceName}`
  const name = Buffer.from(interfaceName, 'latin1')
  if (name.length === 0 || name.length >= IFNAME_BYTES) throw new SystemError(action, EINVAL)
  const fd = openSync('/dev/net/tun', constants.O_RDWR | constants.O_NONBLOCK)
  try {
    const request = new PinnedBuffer(IFREQ_BYTES)
    request.bytes.set(name)
    request.view.setUint16(IFREQ_FLAGS, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, true)
    ioctl(fd, TUNSETIFF, request.address, action)
    setInteger(fd, TUNSETVNETHDRSZ, VIRTIO_HEADER_BYTES, action)
    setInteger(fd, TUNSETVNETLE, 1, action)
    // By value, unlike the others.
    const offloads = options.offloads === false ? 0 : TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6
    ioctl(fd, TUNSETOFFLOAD, offloads, action)
    return fd
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

function setInteger(fd: number, request: number, value: number, action: string): void {
  const memory = new PinnedBuffer(4)
  memory.view.setInt32(0, value, true)
  ioctl(fd, request, memory.address, action)
}
