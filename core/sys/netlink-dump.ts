// Asking route netlink for a list, and walking through its messages and their attributes. netlink(7), rtnetlink(7);
// linux/netlink.h, linux/rtnetlink.h. Everything is little endian and aligned to four bytes.
import { EPROTO } from './errno.ts'
import { FileDescriptor } from './file-descriptor.ts'
import { PinnedBuffer } from './pinned-buffer.ts'
import { openSocket, receiveBytes, SOCK_RAW, sendBytes, setSocketOption } from './socket.ts'
import { SystemError } from './system-error.ts'

const AF_NETLINK = 16
const NETLINK_ROUTE = 0
const SOL_NETLINK = 270
/** Since Linux 4.20: the kernel reads what a request asks for and lists only that. */
const NETLINK_GET_STRICT_CHK = 12
const NLMSG_ERROR = 2
const NLMSG_DONE = 3
const NLM_F_REQUEST = 1
const NLM_F_DUMP = 0x300
/** What is listed changed meanwhile. */
const NLM_F_DUMP_INTR = 0x10

/** struct nlmsghdr: length, type, flags, sequence, port. */
export const NETLINK_HEADER_BYTES = 16
const ATTRIBUTE_HEADER_BYTES = 4
/** No answer is longer than what the kernel puts together for a reader of this size (netlink_recvmsg: 32 KiB). */
const BUFFER_BYTES = 65_536
const MOST_TRIES = 10

const ACTION = 'list the addresses and routes of this host'

/** A route netlink socket for questions, in the namespace in which it is made. Throws SystemError. */
export class RouteNetlink implements Disposable {
  readonly #socket = openRouteNetlink(ACTION)
  readonly #answer = new PinnedBuffer(BUFFER_BYTES)
  #sequence = 0

  constructor() {
    // Where the kernel does not know the option it lists everything; readers look at what they get anyhow.
    setSocketOption(this.#socket.fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)
  }

  /**
   * Asks for a list (`type` with `body`, a struct of rtnetlink) and gives what `read` makes of its messages. Asks again when
   * the list changed while it was read. Throws SystemError.
   */
  list<Item>(
    type: number,
    body: Uint8Array,
    read: (view: DataView, start: number, end: number) => Item | undefined,
  ): Item[] {
    for (let attempt = 1; ; attempt++) {
      const items: Item[] = []
      this.#ask(type, body)
      const isWhole = this.#takeAll((view, start, end) => {
        const item = read(view, start, end)
        if (item !== undefined) items.push(item)
      })
      if (isWhole || attempt === MOST_TRIES) return items
    }
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]()
  }

  #ask(type: number, body: Uint8Array): void {
    this.#sequence = (this.#sequence + 1) >>> 0
    const request = new PinnedBuffer(NETLINK_HEADER_BYTES + body.length)
    request.view.setUint32(0, request.sizeBytes, true)
    request.view.setUint16(4, type, true)
    request.view.setUint16(6, NLM_F_REQUEST | NLM_F_DUMP, true)
    request.view.setUint32(8, this.#sequence, true)
    request.bytes.set(body, NETLINK_HEADER_BYTES)
    const sent = sendBytes(this.#socket.fd, request, 0, request.sizeBytes)
    if (sent < 0) throw new SystemError(ACTION, -sent)
  }

  /** False where the list changed while it was read. */
  #takeAll(visit: (view: DataView, start: number, end: number) => void): boolean {
    const { view } = this.#answer
    let isDone = false
    let isWhole = true
    while (!isDone) {
      // The next part is there as soon as the last one was taken: the kernel makes it in this very call.
      const received = receiveBytes(this.#socket.fd, this.#answer, 0, BUFFER_BYTES)
      if (received <= 0) throw new SystemError(ACTION, received < 0 ? -received : EPROTO)
      forEachMessage(this.#answer, received, (type, start, end) => {
        // Of a list that was given up half-way.
        if (view.getUint32(start - 8, true) !== this.#sequence) return
        if ((view.getUint16(start - 10, true) & NLM_F_DUMP_INTR) !== 0) isWhole = false
        if (type === NLMSG_DONE) isDone = true
        else if (type === NLMSG_ERROR) throw new SystemError(ACTION, -view.getInt32(start, true))
        else visit(view, start, end)
      })
    }
    return isWhole
  }
}

/** A route netlink socket. Throws SystemError. */
export function openRouteNetlink(action: string): FileDescriptor {
  const fd = openSocket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)
  if (fd < 0) throw new SystemError(action, -fd)
  return new FileDescriptor(fd)
}

/** Calls `visit` with type and body of each message in the first `length` bytes of `buffer`; a broken one ends it. */
export function forEachMessage(
  { view }: PinnedBuffer,
  length: number,
  visit: (type: number, start: number, end: number) => void,
): void {
  for (let at = 0; at + NETLINK_HEADER_BYTES <= length; ) {
    const messageBytes = view.getUint32(at, true)
    if (messageBytes < NETLINK_HEADER_BYTES || at + messageBytes > length) return
    visit(view.getUint16(at + 4, true), at + NETLINK_HEADER_BYTES, at + messageBytes)
    at += (messageBytes + 3) & ~3
  }
}

/** The place of an attribute's value between `start` and `end`; undefined where there is none of that type. */
export function findAttribute(
  view: DataView,
  start: number,
  end: number,
  wanted: number,
): { readonly at: number; readonly bytes: number } | undefined {
  for (let at = start; at + ATTRIBUTE_HEADER_BYTES <= end; ) {
    const length = view.getUint16(at, true)
    if (length < ATTRIBUTE_HEADER_BYTES || at + length > end) return undefined
    if ((view.getUint16(at + 2, true) & 0x3fff) === wanted) {
      return { at: at + ATTRIBUTE_HEADER_BYTES, bytes: length - ATTRIBUTE_HEADER_BYTES }
    }
    at += (length + 3) & ~3
  }
  return undefined
}
