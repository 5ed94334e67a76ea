// Published ports in docker's words: PORTS of `ps`, and the lines of `port`.
import { isIPv6 } from 'node:net'
import type { PublishedPort } from '../../../core/api/methods.ts'

/** `80/tcp` */
export function guestPortWord({
  guestPort,
  protocol,
}: Pick<PublishedPort, 'guestPort' | 'protocol'>): string {
  return `${guestPort}/${protocol}`
}

/** `8080`, or a range of ports. */
function span(first: number, last: number): string {
  return first === last ? `${first}` : `${first}-${last}`
}

/** Addresses that a port is open on: loopback of both families where none was named. */
function addressesOf({ bind }: PublishedPort): string[] {
  return bind === '' ? ['127.0.0.1', '[::1]'] : [isIPv6(bind) ? `[${bind}]` : bind]
}

/** Where a port is reached from the host: `127.0.0.1:8080`; two places where no address was named. */
export function hostEnds(port: PublishedPort): string[] {
  return addressesOf(port).map((address) => `${address}:${port.hostPort}`)
}

/** The lines of `port`: `80/tcp -> 127.0.0.1:8080`. */
export function portLines(ports: readonly PublishedPort[]): string[] {
  return inOrder(ports).flatMap((port) => hostEnds(port).map((end) => `${guestPortWord(port)} -> ${end}`))
}

interface Run {
  readonly address: string
  readonly protocol: string
  readonly host: number
  readonly guest: number
  length: number
}

/** PORTS of `ps`: `127.0.0.1:8080->80/tcp, [::1]:9000-9010->9000-9010/tcp`; neighbours are one range. */
export function portsCell(ports: readonly PublishedPort[]): string {
  const runs: Run[] = []
  for (const port of inOrder(ports))
    for (const address of addressesOf(port)) {
      const before = runs.findLast((run) => run.address === address && run.protocol === port.protocol)
      const isNext =
        before?.guest === port.guestPort - (before?.length ?? 0) &&
        before.host === port.hostPort - before.length
      if (before !== undefined && isNext) before.length++
      else
        runs.push({ address, protocol: port.protocol, host: port.hostPort, guest: port.guestPort, length: 1 })
    }
  return runs
    .map(({ address, protocol, host, guest, length }) => {
      const last = length - 1
      return `${address}:${span(host, host + last)}->${span(guest, guest + last)}/${protocol}`
    })
    .join(', ')
}

function inOrder(ports: readonly PublishedPort[]): PublishedPort[] {
  return [...ports].sort(
    (one, other) =>
      one.guestPort - other.guestPort ||
      one.protocol.localeCompare(other.protocol) ||
      one.bind.localeCompare(other.bind) ||
      one.hostPort - other.hostPort,
  )
}
