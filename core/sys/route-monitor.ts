// Following what addresses the host has: guests must not reach them, and they come and go (a DHCP lease, a VPN, a container
// engine's bridge). Route netlink tells of changes through Node's event loop. rtnetlink(7), netlink(7).
import { EAGAIN, ENOBUFS } from './errno.ts'
import type { FileDescriptor } from './file-descriptor.ts'
import { forEachMessage, openRouteNetlink, RouteNetlink } from './netlink-dump.ts'
import { PinnedBuffer } from './pinned-buffer.ts'
import { watchReadable } from './readable-watch.ts'
import { isOwnType, ROUTE_BYTES, ROUTE_TYPE, readOwnAddresses } from './route-table.ts'
import { bindSocket, receiveBytes } from './socket.ts'
import { SystemError } from './system-error.ts'

const AF_NETLINK = 16
/** struct sockaddr_nl: family:2, padding, port:4, groups:4. */
const SOCKADDR_NL_BYTES = 12
/** RTMGRP_IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE of linux/rtnetlink.h. */
const GROUPS = 0x10 | 0x40 | 0x100 | 0x400
const RTM_NEWADDR = 20
const RTM_DELADDR = 21
const RTM_NEWROUTE = 24
const RTM_DELROUTE = 25
const BUFFER_BYTES = 65_536

export interface RouteMonitorOptions {
  /** Called after each change with what the host calls its own now (route-table.ts, readOwnAddresses()). */
  readonly onChange: (addresses: readonly string[]) => void
  /** Told when the addresses cannot be read; the old ones hold. */
  readonly log: (message: string) => void
}

/** Watches the addresses of the namespace in which it is made. Throws SystemError. */
export function openRouteMonitor(options: RouteMonitorOptions): RouteMonitor {
  return new RouteMonitor(options)
}

export class RouteMonitor implements Disposable {
  readonly #options: RouteMonitorOptions
  readonly #socket: FileDescriptor
  readonly #netlink: RouteNetlink
  readonly #resources: DisposableStack
  readonly #buffer = new PinnedBuffer(BUFFER_BYTES)
  #addresses: readonly string[]

  constructor(options: RouteMonitorOptions) {
    const action = 'follow the addresses of this host'
    this.#options = options
    using resources = new DisposableStack()
    this.#socket = resources.use(openRouteNetlink(action))
    this.#netlink = resources.use(new RouteNetlink())
    const address = new PinnedBuffer(SOCKADDR_NL_BYTES)
    address.view.setUint16(0, AF_NETLINK, true)
    address.view.setUint32(8, GROUPS, true)
    const bound = bindSocket(this.#socket.fd, address, SOCKADDR_NL_BYTES)
    if (bound < 0) throw new SystemError(action, -bound)
    // Only now: what changes from here on is told.
    this.#addresses = readOwnAddresses(this.#netlink)
    resources.use(watchReadable(this.#socket.fd, () => this.#hear()))
    this.#resources = resources.move()
  }

  /** What the host calls its own: addresses and ranges as text, of both families. */
  get addresses(): readonly string[] {
    return this.#addresses
  }

  [Symbol.dispose](): void {
    this.#resources[Symbol.dispose]()
  }

  #hear(): void {
    if (this.#resources.disposed || !this.#takeNews()) return
    let addresses: readonly string[]
    try {
      addresses = readOwnAddresses(this.#netlink)
    } catch (error) {
      this.#options.log(error instanceof Error ? error.message : String(error))
      return
    }
    if (addresses.join() === this.#addresses.join()) return
    this.#addresses = addresses
    this.#options.onChange(addresses)
  }

  /** Takes all that waits: whether it may be about the host's own addresses. Most routes of a router are not. */
  #takeNews(): boolean {
    let isNews = false
    for (;;) {
      const received = receiveBytes(this.#socket.fd, this.#buffer, 0, BUFFER_BYTES)
      if (received === -EAGAIN) return isNews
      // So much changed that some of it was lost (netlink(7)).
      if (received === -ENOBUFS) isNews = true
      else if (received <= 0) {
        this.#options.log(`Cannot follow the addresses of this host: errno ${-received}`)
        return isNews
      } else if (this.#isAboutOwn(received)) isNews = true
    }
  }

  #isAboutOwn(length: number): boolean {
    const { view } = this.#buffer
    let isOwn = false
    forEachMessage(this.#buffer, length, (type, start, end) => {
      if (type === RTM_NEWADDR || type === RTM_DELADDR) isOwn = true
      const isRoute = type === RTM_NEWROUTE || type === RTM_DELROUTE
      if (isRoute && start + ROUTE_BYTES <= end && isOwnType(view.getUint8(start + ROUTE_TYPE))) isOwn = true
    })
    return isOwn
  }
}
