// Ports of the host that lead into a guest: as they are typed into the launch form, and as the details show them.
import type { PublishedPort } from '../../../core/api/methods.ts'

/** `8080:80 5353:53/udp 443`: the host's port and the guest's; without the host's it is chosen. Undefined where that is wrong. */
export function parsePorts(typed: string): PublishedPort[] | undefined {
  const ports: PublishedPort[] = []
  for (const word of typed.split(/[\s,]+/).filter((part) => part !== '')) {
    const [, host = '0', guest = '', protocol = 'tcp'] = /^(?:(\d+):)?(\d+)(?:\/(tcp|udp))?$/.exec(word) ?? []
    const port = { bind: '', hostPort: Number(host), guestPort: Number(guest) }
    if (guest === '' || port.hostPort > 65535 || port.guestPort < 1 || port.guestPort > 65535)
      return undefined
    const isTaken = ports.some(
      (other) => other.hostPort !== 0 && other.hostPort === port.hostPort && other.protocol === protocol,
    )
    if (isTaken) return undefined
    ports.push({ ...port, protocol: protocol === 'udp' ? 'udp' : 'tcp' })
  }
  return ports
}

/** The option of `bulkhead run` for a port. */
export function portOption({
  protocol,
  hostPort,
  guestPort,
}: Pick<PublishedPort, 'protocol' | 'hostPort' | 'guestPort'>): string {
  return `-p ${hostPort === 0 ? '' : `${hostPort}:`}${guestPort}${protocol === 'udp' ? '/udp' : ''}`
}

/** `localhost:8080 → 80/tcp` */
export function portWords({ protocol, bind, hostPort, guestPort }: PublishedPort): string {
  const address = bind === '' ? 'localhost' : bind.includes(':') ? `[${bind}]` : bind
  return `${address}:${hostPort} → ${guestPort}/${protocol}`
}
