// What a guest may open connections to: `--deny RANGE[:PORTS][/PROTOCOL]` and `--allow …`, in the order of the command
// line, of which the first that fits decides.
import { isIP, isIPv6 } from 'node:net'
import type { PolicyRule } from '../../../core/api/methods.ts'
import { UsageError } from '../failure.ts'

const protocols = ['tcp', 'udp', 'icmp'] as const

/** The rule that one option stands for; ports without a protocol are those of TCP and of UDP. Throws a UsageError. */
export function parsePolicyRule(action: PolicyRule['action'], text: string): PolicyRule {
  const wrong = (reason: string) =>
    new UsageError(`Cannot use --${action} "${text}": ${reason}`, {
      hint: 'Write RANGE[:PORTS][/PROTOCOL]: 10.0.0.0/8, 192.0.2.7:443/tcp, [2001:db8::/32]:25, any:25, any/icmp.',
    })
  const [, rest = '', named] = /^(.*?)(?:\/([a-z]+))?$/i.exec(text) ?? []
  const protocol = protocols.find((known) => known === named?.toLowerCase())
  if (named !== undefined && protocol === undefined)
    throw wrong(`rules are for tcp, udp and icmp, not for "${named}"`)
  const { range, ports } = splitRange(rest)
  const problem = rangeProblem(range)
  if (problem !== undefined) throw wrong(problem)
  if (ports !== undefined && protocol === 'icmp') throw wrong('icmp has no ports')
  const span = ports === undefined ? undefined : portSpan(ports)
  if (ports !== undefined && span === undefined)
    throw wrong(`"${ports}" is neither a port nor a range of ports`)
  return {
    action,
    range,
    ...(protocol === undefined ? {} : { protocol }),
    ...(span === undefined ? {} : { ports: span }),
  }
}

/** `RANGE` or `RANGE:PORTS`; an IPv6 range with ports stands in brackets, without them it may. */
function splitRange(text: string): { range: string; ports?: string } {
  const [, inside, behind] = /^\[([^\]]*)\](?::(.*))?$/.exec(text) ?? []
  if (inside !== undefined) return behind === undefined ? { range: inside } : { range: inside, ports: behind }
  const [range = '', ports, ...more] = text.split(':')
  if (ports === undefined || more.length > 0) return { range: text }
  return { range, ports }
}

function rangeProblem(range: string): string | undefined {
  if (range === 'any') return undefined
  if (range === '') return 'an address is missing'
  const [address = '', prefix, ...more] = range.split('/')
  if (isIP(address) === 0 || address.includes('%') || more.length > 0)
    return `"${range}" is neither an address nor a range of addresses`
  const longest = isIPv6(address) ? 128 : 32
  if (prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= longest)) return undefined
  return `a prefix of ${address} goes from 0 to ${longest}, not "${prefix}"`
}

function portSpan(text: string): [number, number] | undefined {
  const [, from, to = from] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? []
  const first = Number(from)
  const last = Number(to)
  return from !== undefined && first >= 1 && first <= last && last <= 65535 ? [first, last] : undefined
}
