// The host's resolver settings, /etc/resolv.conf: reading it as the C library does (resolv.conf(5)).
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { isSystemError } from '../../sys/system-error.ts'

export interface ResolverSettings {
  /** Addresses, IPv6 perhaps with a `%interface`; the first three that are any. 127.0.0.53 is as good as others. */
  readonly servers: readonly string[]
  readonly search: readonly string[]
  readonly options: readonly string[]
}

export const resolvConfPath = '/etc/resolv.conf'

/** MAXNS of resolv.h. */
const MOST_SERVERS = 3
const none: ResolverSettings = { servers: [], search: [], options: [] }

/** Reads the text of a resolv.conf. Lines that make no sense are passed over, as the C library does. */
export function parseResolvConf(text: string): ResolverSettings {
  const servers: string[] = []
  let search: readonly string[] = []
  const options: string[] = []
  for (const line of text.split('\n')) {
    // A comment begins a line; `#` and `;` further on belong to the value.
    const [keyword = '', ...values] = line.trim().split(/[ \t]+/)
    const [value = ''] = values
    if (keyword === 'nameserver' && isIP(value) !== 0 && servers.length < MOST_SERVERS) servers.push(value)
    // The last of `search` and `domain` holds.
    else if (keyword === 'search') search = values.filter((domain) => domain !== '').map(withoutLastDot)
    else if (keyword === 'domain' && value !== '') search = [withoutLastDot(value)]
    else if (keyword === 'options') options.push(...values)
  }
  return { servers, search: search.filter((domain) => domain !== ''), options }
}

/** Reads the file. Without a file there are no settings; throws Node's error where there is one that cannot be read. */
export function readResolvConf(path: string = resolvConfPath): ResolverSettings {
  try {
    return parseResolvConf(readFileSync(path, 'utf8'))
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return none
    throw error
  }
}

function withoutLastDot(domain: string): string {
  return domain.endsWith('.') ? domain.slice(0, -1) : domain
}
