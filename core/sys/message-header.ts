// struct msghdr and what it points to, for calls that bring and send datagrams with addresses and options: offsets of x86-64
// Linux. Sources: recvmsg(2), cmsg(3), bits/socket.h.

/** struct msghdr */
export const MESSAGE_HEADER_BYTES = 56
export const MESSAGE_NAME = 0
export const MESSAGE_NAME_BYTES = 8
export const MESSAGE_PARTS = 16
export const MESSAGE_PART_COUNT = 24
export const MESSAGE_CONTROL = 32
export const MESSAGE_CONTROL_BYTES = 40
export const MESSAGE_FLAGS = 48

/** struct iovec: an address and a length. */
export const PART_BYTES = 16
export const PART_LENGTH = 8

/** struct cmsghdr: a size_t length that counts itself, a level and a type; the data follows, padded to eight bytes. */
export const CONTROL_HEADER_BYTES = 16
export const CONTROL_LEVEL = 8
export const CONTROL_TYPE = 12

/** Room for an address of either family. */
export const ADDRESS_BYTES = 32

/** Bytes of a control message with its padding. */
export function paddedControlBytes(lengthBytes: number): number {
  return (lengthBytes + 7) & ~7
}

/** Writes a pointer or a size_t, as two halves. */
export function setWide(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, value >>> 0, true)
  view.setUint32(offset + 4, Math.floor(value / 4_294_967_296), true)
}
