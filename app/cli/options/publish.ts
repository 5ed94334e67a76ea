// Ports of the host that lead into a guest, as people write them: `-p [ADDRESS:]HOST:GUEST[/udp]`, docker's words.
// An address that is left out means the host's loopback, not every address as with docker.
import { isIP, isIPv6 } from 'node:net'
import type { PublishedPort } from '../../../core/api/methods.ts'
import { UsageError } from '../failure.ts'

/** The most that one guest may have (core/api/schemas/network.ts). */
const mostPorts = 4096

/** The ports that one `-p` stands for: several where it has ranges. Host port 0 lets the host choose. */
export function parsePublished(text: string): PublishedPort[] {
  const wrong = (
    reason: string,
    hint = 'Write [ADDRESS:]HOST:GUEST[/udp]: 8080:80, 5353:53/udp, [::1]:8080:80.',
  ) => new UsageError(`Cannot publish "${text}": ${reason}`, { hint })
  const { rest, protocol } = splitProtocol(text, wrong)
  const { bind, host, guest } = splitEnds(rest, wrong)
  const guestPorts = portRange(guest, 1, wrong)
  const hostPorts = host === '' ? { first: 0, last: 0 } : portRange(host, 0, wrong)
  const guestCount = guestPorts.last - guestPorts.first + 1
  const hostCount = hostPorts.last - hostPorts.first + 1
  const isChosen = hostPorts.first === 0 && hostPorts.last === 0
  if (!isChosen && hostCount !== guestCount)
    throw wrong(`${host} ${countOf(hostCount)} and ${guest} ${countOf(guestCount)}`)
  return Array.from({ length: guestCount }, (_, index) => ({
    protocol,
    bind,
    hostPort: isChosen ? 0 : hostPorts.first + index,
    guestPort: guestPorts.first + index,
  }))
}

/** A port of the guest as `port`, `--expose` and EXPOSE name it: `80`, `53/udp`, `8000-8010/tcp`. */
export function parseGuestPorts(text: string): Pick<PublishedPort, 'protocol' | 'guestPort'>[] {
  const wrong = (reason: string) =>
    new UsageError(`Cannot use the port "${text}": ${reason}`, { hint: 'Write PORT or PORT/udp.' })
  const { rest, protocol } = splitProtocol(text, wrong)
  const { first, last } = portRange(rest, 1, wrong)
  return Array.from({ length: last - first + 1 }, (_, index) => ({ protocol, guestPort: first + index }))
}

/** All ports together, each once; refuses what cannot be: too many, or one port of the host to two of the guest. */
export function combinePorts(ports: readonly PublishedPort[]): PublishedPort[] {
  const taken = new Map<string, PublishedPort>()
  const combined = ports.filter((port) => {
    if (port.hostPort === 0) return true
    const end = `${port.bind} ${port.hostPort}/${port.protocol}`
    const other = taken.get(end)
    if (other !== undefined && other.guestPort !== port.guestPort)
      throw new UsageError(
        `Cannot publish port ${port.hostPort}/${port.protocol} of the host twice: to port ${other.guestPort} and to port ${port.guestPort} of the guest`,
      )
    taken.set(end, port)
    return other === undefined
  })
  if (combined.length > mostPorts)
    throw new UsageError(`Cannot publish ${combined.length} ports of one guest: ${mostPorts} are the most`)
  return combined
}

type Wrong = (reason: string, hint?: string) => UsageError

function splitProtocol(text: string, wrong: Wrong): { rest: string; protocol: 'tcp' | 'udp' } {
  const slash = text.lastIndexOf('/')
  if (slash === -1) return { rest: text, protocol: 'tcp' }
  const protocol = text.slice(slash + 1).toLowerCase()
  if (protocol !== 'tcp' && protocol !== 'udp')
    throw wrong(`ports are of tcp or udp, not of "${text.slice(slash + 1)}"`)
  return { rest: text.slice(0, slash), protocol }
}

interface Ends {
  readonly bind: string
  readonly host: string
  readonly guest: string
}

function splitEnds(text: string, wrong: Wrong): Ends {
  const bracketed = /^\[([^\]]*)\]:(.*)$/.exec(text)
  if (bracketed !== null) {
    const [, bind = '', rest = ''] = bracketed
    if (!isIPv6(bind) || bind.includes('%')) throw wrong(`"${bind}" is no IPv6 address`)
    const [host, guest, ...more] = rest.split(':')
    if (host === undefined || guest === undefined || more.length > 0)
      throw wrong('two ports belong behind the address')
    return { bind, host, guest }
  }
  const parts = text.split(':')
  if (parts.length > 3) throw wrong('an IPv6 address stands in brackets')
  const [guest = '', host = '', bind] = parts.reverse()
  if (bind !== undefined && isIP(bind) === 0)
    throw wrong(
      `"${bind}" is no address of the host`,
      'Without an address the port is open on loopback only; 0.0.0.0 and [::] stand for all of a family.',
    )
  return { bind: bind ?? '', host, guest }
}

function portRange(text: string, least: 0 | 1, wrong: Wrong): { first: number; last: number } {
  const [, from, to = from] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? []
  if (from === undefined) throw wrong(text === '' ? 'a port is missing' : `"${text}" is no port`)
  const first = Number(from)
  const last = Number(to)
  if (first > last) throw wrong(`the range ${text} goes backwards`)
  if (first < (first === last ? least : 1) || last > 65535)
    throw wrong(`ports go from 1 to 65535, not ${text}`)
  return { first, last }
}

function countOf(count: number): string {
  return count === 1 ? 'is one port' : `are ${count} ports`
}
