// Which proxy, if any, a request goes through: `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` as Go's httpproxy package reads
// them (docker, podman and skopeo are Go programs), with `*.name` as undici has it.

import { BlockList, isIP } from 'node:net'
import { OciError } from '../errors.ts'
import { isLoopbackHost } from './address-policy.ts'
import type { ProxySettings } from './registry-access.ts'

const PROTOCOLS: ReadonlySet<string> = new Set(['http:', 'https:', 'socks5:'])
const DEFAULT_PORTS: Readonly<Record<string, string>> = { 'http:': '80', 'https:': '443' }

interface Exception {
  readonly matches: (host: string) => boolean
  readonly port: string | undefined
}

/** The settings of a process, from its environment; capitals come first. */
export function proxySettingsOf(environment: Readonly<Record<string, string | undefined>>): ProxySettings {
  const read = (name: string) => environment[name] || environment[name.toLowerCase()] || undefined
  return { http: read('HTTP_PROXY'), https: read('HTTPS_PROXY'), except: read('NO_PROXY') }
}

/** Decides for each URL. Throws `oci.bad-proxy` for addresses of proxies that cannot be used. */
export class ProxyRules {
  readonly #proxies: Readonly<Record<string, URL | undefined>>
  readonly #exceptions: readonly Exception[]

  constructor({ http, https, except = '' }: ProxySettings = {}) {
    this.#proxies = { 'http:': parseProxy(http), 'https:': parseProxy(https) }
    this.#exceptions = except.split(/[,\s]+/).flatMap((text) => (text === '' ? [] : parseException(text)))
  }

  /** The proxy for a URL. This machine itself is never asked for through one. */
  proxyFor(url: URL): URL | undefined {
    const proxy = this.#proxies[url.protocol]
    if (proxy === undefined || isLoopbackHost(url.hostname)) return undefined
    const host = bareHost(url.hostname)
    const port = url.port || DEFAULT_PORTS[url.protocol]
    const isExcepted = this.#exceptions.some(
      (exception) => (exception.port === undefined || exception.port === port) && exception.matches(host),
    )
    return isExcepted ? undefined : proxy
  }
}

/** `http://user:password@host:port`; the scheme may be left out. */
function parseProxy(text: string | undefined): URL | undefined {
  if (text === undefined || text === '') return undefined
  const url = URL.parse(text.includes('://') ? text : `http://${text}`)
  if (url !== null && PROTOCOLS.has(url.protocol) && url.hostname !== '' && hasReadableUser(url)) return url
  // Careful: the address may contain a password, so it is not shown.
  throw new OciError('oci.bad-proxy', 'Cannot use the proxy: its address is not an http or https URL', {
    hint: 'It looks like http://proxy.example:3128 or http://user:password@proxy.example:3128.',
  })
}

function hasReadableUser({ username, password }: URL): boolean {
  try {
    decodeURIComponent(username + password)
    return true
  } catch {
    return false
  }
}

function parseException(text: string): Exception | [] {
  const [, bracketed, plain, port] =
    /^(?:\[([0-9a-f:.]+)\]|([^:]+|[0-9a-f:.]*:[0-9a-f:.]*:[0-9a-f:./]*))(?::(\d+))?$/i.exec(text) ?? []
  const host = (bracketed ?? plain)?.toLowerCase().replace(/\.$/, '')
  if (plain === '*') return { matches: () => true, port }
  if (host === undefined || host === '*') return []
  const subnet = parseSubnet(host)
  if (subnet !== undefined) return { matches: subnet, port }
  if (isIP(host) !== 0) return { matches: (asked) => asked === host, port }
  const name = host.replace(/^\*?\./, '')
  const isSuffixOnly = host.startsWith('*')
  return { matches: (asked) => asked.endsWith(`.${name}`) || (!isSuffixOnly && asked === name), port }
}

/** `10.0.0.0/8`: the addresses in it, where a URL has an address and not a name. */
function parseSubnet(text: string): ((host: string) => boolean) | undefined {
  const [, address, prefix] = /^([0-9a-f:.]+)\/(\d{1,3})$/.exec(text) ?? []
  if (address === undefined || isIP(address) === 0) return undefined
  const isV6 = isIP(address) === 6
  if (Number(prefix) > (isV6 ? 128 : 32)) return undefined
  const list = new BlockList()
  list.addSubnet(address, Number(prefix), isV6 ? 'ipv6' : 'ipv4')
  return (host) => isIP(host) !== 0 && list.check(host, isIP(host) === 6 ? 'ipv6' : 'ipv4')
}

function bareHost(hostname: string): string {
  return hostname
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '')
    .toLowerCase()
}
