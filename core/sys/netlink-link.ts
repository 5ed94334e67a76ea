// Network devices by route netlink, in the namespace of the calling thread: looking one up, moving it to another
// namespace, switching it on. Sources: rtnetlink(7), netlink(7); linux/{netlink,rtnetlink,if_link}.h.
import { ENODEV, EPROTO } from './errno.ts'
import { FileDescriptor } from './file-descriptor.ts'
import { PinnedBuffer } from './pinned-buffer.ts'
import { openSocket, receiveBytes, SOCK_RAW, sendBytes } from './socket.ts'
import { SystemError } from './system-error.ts'

const AF_NETLINK = 16
const NETLINK_ROUTE = 0
const NLMSG_ERROR = 2
const NLM_F_REQUEST = 1
const NLM_F_ACK = 4
const RTM_NEWLINK = 16
const RTM_GETLINK = 18
const IFLA_IFNAME = 3
const IFLA_MTU = 4
const IFLA_NET_NS_FD = 28
export const IFF_UP = 1

/** struct nlmsghdr, then struct ifinfomsg, then attributes; all aligned to 4 bytes. */
const HEADER_BYTES = 16
const LINK_BYTES = 16
const ATTRIBUTES_AT = HEADER_BYTES + LINK_BYTES
const ATTRIBUTE_HEADER_BYTES = 4
/** IFNAMSIZ of linux/if.h, with the byte that ends it. */
const NAME_BYTES = 16

export interface Link {
  readonly index: number
  /** IFF_UP and its like. */
  readonly flags: number
}

/** The device called `name`; undefined where this namespace has none. */
export function findLink(name: string): Link | undefined {
  const { request, length } = linkRequest(RTM_GETLINK, { name })
  const answer = ask(request, length, `look for the network device ${name}`, ENODEV)
  if (answer === undefined) return undefined
  return { index: answer.getInt32(HEADER_BYTES + 4, true), flags: answer.getUint32(HEADER_BYTES + 8, true) }
}

/** The number of the device called `name`; undefined where this namespace has none. */
export function linkIndex(name: string): number | undefined {
  return findLink(name)?.index
}

/** Puts the device called `name` into another namespace, switched off. Throws SystemError (ENODEV where it is gone). */
export function moveLink(name: string, namespaceFd: number): void {
  const { request, length } = linkRequest(RTM_NEWLINK, { name, namespaceFd })
  ask(request, length, `move the network device ${name} to another namespace`)
}

/** Switches the device called `name` on, with an MTU. Throws SystemError (ENODEV where it is gone). */
export function setLinkUp(name: string, mtu: number): void {
  const { request, length } = linkRequest(RTM_NEWLINK, { name, mtu, flags: IFF_UP })
  ask(request, length, `switch the network device ${name} on`)
}

interface LinkRequest {
  readonly name: string
  readonly namespaceFd?: number
  readonly mtu?: number
  /** Switched on; none is ever switched off. */
  readonly flags?: number
}

function linkRequest(type: number, { name, namespaceFd, mtu, flags = 0 }: LinkRequest) {
  if (!/^[\x21-\x7e]{1,15}$/.test(name) || name.includes('/'))
    throw new RangeError(`"${name}" is no name of a network device`)
  const request = new PinnedBuffer(128)
  const { view, bytes } = request
  view.setUint16(4, type, true)
  view.setUint16(6, NLM_F_REQUEST | (type === RTM_NEWLINK ? NLM_F_ACK : 0), true)
  view.setUint32(8, 1, true)
  view.setUint32(HEADER_BYTES + 8, flags, true)
  view.setUint32(HEADER_BYTES + 12, flags, true)
  let length = ATTRIBUTES_AT
  const beginAttribute = (attribute: number, sizeBytes: number): number => {
    view.setUint16(length, ATTRIBUTE_HEADER_BYTES + sizeBytes, true)
    view.setUint16(length + 2, attribute, true)
    const at = length + ATTRIBUTE_HEADER_BYTES
    length = at + sizeBytes
    return at
  }
  bytes.set(Buffer.from(name), beginAttribute(IFLA_IFNAME, NAME_BYTES))
  if (mtu !== undefined) view.setUint32(beginAttribute(IFLA_MTU, 4), mtu, true)
  if (namespaceFd !== undefined) view.setInt32(beginAttribute(IFLA_NET_NS_FD, 4), namespaceFd, true)
  view.setUint32(0, length, true)
  return { request, length }
}

/** Room for one device as the kernel describes it: with statistics and all families, some KiB. */
const answerBytes = 32_768

/** The kernel's answer, which is there when send(2) returns; undefined for the errno that is `expected`. */
function ask(request: PinnedBuffer, length: number, action: string, expected?: number): DataView | undefined {
  const fd = openSocket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)
  if (fd < 0) throw new SystemError(action, -fd)
  using socket = new FileDescriptor(fd)
  const sent = sendBytes(socket.fd, request, 0, length)
  if (sent < 0) throw new SystemError(action, -sent)
  const answer = new PinnedBuffer(answerBytes)
  const received = receiveBytes(socket.fd, answer, 0, answerBytes)
  if (received < 0) throw new SystemError(action, -received)
  if (received < ATTRIBUTES_AT) throw new SystemError(action, EPROTO)
  if (answer.view.getUint16(4, true) !== NLMSG_ERROR) return answer.view
  const errno = -answer.view.getInt32(HEADER_BYTES, true)
  if (errno !== 0 && errno !== expected) throw new SystemError(action, errno)
  return undefined
}
