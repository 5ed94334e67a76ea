// sendmsg(2) and recvmsg(2) with descriptors beside the bytes: SCM_RIGHTS of unix(7), cmsg(3). Layouts of x86-64.
import koffi, { type KoffiFunc } from 'koffi'
import { EINTR } from './errno.ts'
import { PinnedBuffer } from './pinned-buffer.ts'
import { closeDescriptor, MSG_DONTWAIT, MSG_NOSIGNAL, SOL_SOCKET } from './socket.ts'
import { structLayout, u32, size as u64 } from './struct-layout.ts'

const library = koffi.load('libc.so.6')
type MessageFunction = KoffiFunc<(fd: number, message: number, flags: number) => number>
const sendmsgFunction: MessageFunction = library.func(
  'intptr_t sendmsg(int fd, uintptr_t message, int flags)',
)
const recvmsgFunction: MessageFunction = library.func(
  'intptr_t recvmsg(int fd, uintptr_t message, int flags)',
)

const MSG_CTRUNC = 0x8
const MSG_CMSG_CLOEXEC = 0x4000_0000
const SCM_RIGHTS = 1

const iovec = structLayout('struct iovec', 16, { start: u64(0), length: u64(8) })
const msghdr = structLayout('struct msghdr', 56, {
  parts: u64(16),
  partCount: u64(24),
  control: u64(32),
  controlBytes: u64(40),
  flags: u32(48),
})
const cmsghdr = structLayout('struct cmsghdr', 16, { length: u64(0), level: u32(8), type: u32(12) })

/** What one message may carry. */
export const MAX_DESCRIPTORS = 8
/** Room for one control message, whose data is padded to 8 bytes. */
const CONTROL_BYTES = cmsghdr.sizeBytes + MAX_DESCRIPTORS * 4

const partMemory = new PinnedBuffer(iovec.sizeBytes)
const messageMemory = new PinnedBuffer(msghdr.sizeBytes)
const control = new PinnedBuffer(CONTROL_BYTES)
const part = iovec.at(partMemory.view)
const message = msghdr.at(messageMemory.view)
const header = cmsghdr.at(control.view)

function setMessage(buffer: PinnedBuffer, offset: number, length: number, controlBytes: number): void {
  part.start = buffer.at(offset, length)
  part.length = length
  message.parts = partMemory.address
  message.partCount = 1
  message.control = controlBytes === 0 ? 0 : control.address
  message.controlBytes = controlBytes
  message.flags = 0
}

/**
 * Sends bytes, and `fds` (at most MAX_DESCRIPTORS) beside the first of them. Without waiting: bytes taken, or a negative
 * errno, and then the descriptors were not sent either. The caller's descriptors stay open.
 */
export function sendWithDescriptors(
  fd: number,
  buffer: PinnedBuffer,
  offset: number,
  length: number,
  fds: readonly number[],
): number {
  if (fds.length > MAX_DESCRIPTORS || length === 0)
    throw new RangeError(`${fds.length} descriptors cannot go beside ${length} bytes`)
  if (fds.length > 0) {
    control.bytes.fill(0)
    header.length = cmsghdr.sizeBytes + fds.length * 4
    header.level = SOL_SOCKET
    header.type = SCM_RIGHTS
    for (const [index, each] of fds.entries())
      control.view.setInt32(cmsghdr.sizeBytes + index * 4, each, true)
  }
  // CMSG_SPACE: the data is padded to 8 bytes.
  const controlBytes = fds.length === 0 ? 0 : cmsghdr.sizeBytes + Math.ceil(fds.length / 2) * 8
  for (;;) {
    setMessage(buffer, offset, length, controlBytes)
    const count = sendmsgFunction(fd, messageMemory.address, MSG_DONTWAIT | MSG_NOSIGNAL)
    if (count >= 0) return count
    if (koffi.errno() !== EINTR) return -koffi.errno()
  }
}

export interface Received {
  /** 0 at the end of the stream, or a negative errno. */
  readonly bytes: number
  /** New descriptors of this process, closed on exec: the caller's to close. They came beside the last byte's message. */
  readonly fds: readonly number[]
  /** More descriptors came than a message may have; the kernel has closed the others. */
  readonly isCutOff: boolean
}

/** Receives bytes and what came beside them, without waiting. */
export function receiveWithDescriptors(
  fd: number,
  buffer: PinnedBuffer,
  offset: number,
  length: number,
): Received {
  for (;;) {
    setMessage(buffer, offset, length, CONTROL_BYTES)
    const count = recvmsgFunction(fd, messageMemory.address, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)
    if (count >= 0)
      return {
        bytes: count,
        fds: receivedDescriptors(message.controlBytes),
        isCutOff: (message.flags & MSG_CTRUNC) !== 0,
      }
    if (koffi.errno() !== EINTR) return { bytes: -koffi.errno(), fds: [], isCutOff: false }
  }
}

/** Closes what was received and is not wanted. */
export function closeAll(fds: readonly number[]): void {
  for (const fd of fds) closeDescriptor(fd)
}

function receivedDescriptors(controlBytes: number): number[] {
  if (controlBytes < cmsghdr.sizeBytes || header.level !== SOL_SOCKET || header.type !== SCM_RIGHTS) return []
  const count = Math.floor((Math.min(header.length, controlBytes) - cmsghdr.sizeBytes) / 4)
  return Array.from({ length: count }, (_, index) =>
    control.view.getInt32(cmsghdr.sizeBytes + index * 4, true),
  )
}
