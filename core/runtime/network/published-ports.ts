// The published ports of all guests that run: which are open, for whom, and the sockets that the engine gets. A core host
// that was restarted has no sockets of what the engine holds already; it binds them again only when the engine dies too.
import type { PublishedPort } from '../../api/methods.ts'
import { parseAddress } from '../../net/address.ts'
import type { ForwardMessage } from '../../net/engine/messages.ts'
import { NetError } from '../../net/errors.ts'
import type { FileDescriptor } from '../../sys/file-descriptor.ts'
import { bindAddresses, bindPort } from './port-binding.ts'

export type Forward = Omit<ForwardMessage, 'type'>

/** What leads into a guest through one address of the host. */
export interface OpenForward {
  readonly forward: Forward
  /** Undefined where the engine alone has the socket. */
  readonly descriptor: FileDescriptor | undefined
}

interface OpenPort {
  /** Its host port is not 0. */
  readonly port: PublishedPort
  forwards: readonly OpenForward[]
}

export interface PortOwner {
  readonly id: string
  readonly name: string
}

export class PublishedPorts {
  readonly #byGuest = new Map<string, { readonly owner: PortOwner; readonly ports: OpenPort[] }>()

  /** What is open for a guest. */
  of(id: string): PublishedPort[] {
    return (this.#byGuest.get(id)?.ports ?? []).map(({ port }) => port)
  }

  /** What the engine has to know of a guest's ports. */
  forwardsOf(id: string): OpenForward[] {
    return (this.#byGuest.get(id)?.ports ?? []).flatMap(({ forwards }) => forwards)
  }

  /** Opens all of `ports` or none. Returns what is new. Throws NetError `net.port-taken`. */
  open(owner: PortOwner, ports: readonly PublishedPort[]): OpenForward[] {
    const opened: OpenPort[] = []
    try {
      for (const port of ports) {
        this.#checkFree(port, owner, opened)
        opened.push(openPort(owner, port))
      }
    } catch (error) {
      close(opened)
      throw error
    }
    this.#of(owner).push(...opened)
    return opened.flatMap(({ forwards }) => forwards)
  }

  /** Takes over a port of a guest that ran before this core host; `held` are the forwards that the engine has. */
  adopt(owner: PortOwner, port: PublishedPort, held: readonly Forward[]): void {
    const kept = bindAddresses(port.bind).flatMap((bind): OpenForward[] => {
      const forward = forwardOf(owner, port, bind)
      return held.some((each) => isSameForward(each, forward)) ? [{ forward, descriptor: undefined }] : []
    })
    this.#of(owner).push(kept.length > 0 ? { port, forwards: kept } : openPort(owner, port))
  }

  /** Binds again what only an engine had that is gone. Returns the ports that somebody else has taken meanwhile. */
  recover(
    id: string,
    held: readonly Forward[],
  ): { readonly port: PublishedPort; readonly error: NetError }[] {
    const guest = this.#byGuest.get(id)
    if (guest === undefined) return []
    const lost: { port: PublishedPort; error: NetError }[] = []
    for (const open of [...guest.ports]) {
      const isWhole = open.forwards.every(
        ({ forward, descriptor }) =>
          descriptor !== undefined || held.some((each) => isSameForward(each, forward)),
      )
      if (isWhole) continue
      try {
        open.forwards = openPort(guest.owner, open.port).forwards
      } catch (error) {
        if (!(error instanceof NetError)) throw error
        guest.ports.splice(guest.ports.indexOf(open), 1)
        lost.push({ port: open.port, error })
      }
    }
    return lost
  }

  /** Closes those of a guest's ports that `wanted` names (a host port of 0: every one to that guest port), or all. */
  close(id: string, wanted?: readonly PublishedPort[]): Forward[] {
    const guest = this.#byGuest.get(id)
    if (guest === undefined) return []
    const closing = guest.ports.filter(
      ({ port }) => wanted === undefined || wanted.some((each) => isMeant(each, port)),
    )
    close(closing)
    const left = guest.ports.filter((each) => !closing.includes(each))
    if (left.length === 0) this.#byGuest.delete(id)
    else this.#byGuest.set(id, { owner: guest.owner, ports: left })
    return closing.flatMap(({ forwards }) => forwards.map(({ forward }) => forward))
  }

  #of(owner: PortOwner): OpenPort[] {
    const known = this.#byGuest.get(owner.id)
    if (known !== undefined) return known.ports
    const ports: OpenPort[] = []
    this.#byGuest.set(owner.id, { owner, ports })
    return ports
  }

  /** The kernel would refuse it too, but would not say who has it. */
  #checkFree(wanted: PublishedPort, owner: PortOwner, opened: readonly OpenPort[]): void {
    if (wanted.hostPort === 0) return
    const all = [...this.#byGuest.values(), { owner, ports: opened }]
    for (const { owner: holder, ports } of all) {
      if (!ports.some(({ port }) => doCollide(port, wanted))) continue
      const who =
        holder.id === owner.id ? 'it is published for this guest already' : `guest "${holder.name}" has it`
      const place = `port ${wanted.hostPort} (${wanted.protocol.toUpperCase()})`
      throw new NetError('net.port-taken', `Cannot publish ${place}: ${who}`, {
        hint: 'Take another port, or 0 for one that is free.',
      })
    }
  }
}

/** Whether `wanted` of an unpublish means the open `port`. */
export function isMeant(wanted: PublishedPort, port: PublishedPort): boolean {
  return (
    wanted.protocol === port.protocol &&
    wanted.bind === port.bind &&
    wanted.guestPort === port.guestPort &&
    (wanted.hostPort === 0 || wanted.hostPort === port.hostPort)
  )
}

/** What was asked for without what was taken back; one wish for each port. */
export function withoutPorts(
  wishes: readonly PublishedPort[],
  going: readonly PublishedPort[],
): PublishedPort[] {
  const left = [...wishes]
  for (const port of going) {
    const exact = left.findIndex((wish) => wish.hostPort !== 0 && isMeant(wish, port))
    const index = exact >= 0 ? exact : left.findIndex((wish) => isMeant(wish, port))
    if (index >= 0) left.splice(index, 1)
  }
  return left
}

function openPort(owner: PortOwner, port: PublishedPort): OpenPort {
  const sockets = bindPort(port)
  const hostPort = sockets[0]?.hostPort ?? port.hostPort
  const chosen = { ...port, hostPort }
  return {
    port: chosen,
    forwards: sockets.map(({ bind, descriptor }) => ({
      forward: forwardOf(owner, chosen, bind),
      descriptor,
    })),
  }
}

function forwardOf(owner: PortOwner, port: PublishedPort, bind: string): Forward {
  const { protocol, hostPort, guestPort } = port
  return { guest: owner.id, protocol, bind, hostPort, guestPort }
}

function close(ports: readonly OpenPort[]): void {
  for (const { forwards } of ports) for (const { descriptor } of forwards) descriptor?.[Symbol.dispose]()
}

/** Whether both are the same port of the same guest. */
export function isSameForward(one: Forward, other: Forward): boolean {
  return (['guest', 'protocol', 'bind', 'hostPort', 'guestPort'] as const).every(
    (key) => one[key] === other[key],
  )
}

function doCollide(one: PublishedPort, other: PublishedPort): boolean {
  if (one.protocol !== other.protocol || one.hostPort !== other.hostPort) return false
  return bindAddresses(one.bind).some((first) =>
    bindAddresses(other.bind).some((second) => doMeet(first, second)),
  )
}

/** Two addresses that cannot be bound beside each other: the same, or one of them all addresses of the family. */
function doMeet(one: string, other: string): boolean {
  if (one.includes(':') !== other.includes(':')) return false
  const isAny = (address: string) =>
    parseAddress(address)[3] === 0 && (address.includes(':') ? isUnspecified(address) : true)
  return parseAddress(one).join() === parseAddress(other).join() || isAny(one) || isAny(other)
}

function isUnspecified(address: string): boolean {
  return parseAddress(address).every((word) => word === 0)
}
