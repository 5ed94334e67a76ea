// The options of `run` that are about the guest's network, and what they ask of the core host.
import { isIP } from 'node:net'
import { type Command, Option } from 'commander'
import type { ParamsOf, PolicyRule, PublishedPort } from '../../../core/api/methods.ts'
import { UsageError } from '../failure.ts'
import { collect } from '../verb-command.ts'
import { parsePolicyRule } from './policy-rules.ts'
import { combinePorts, parseGuestPorts, parsePublished } from './publish.ts'

export type NetworkRequest = NonNullable<ParamsOf<'guests.create'>['network']>

export interface NetworkOptions {
  readonly publish: readonly PublishedPort[]
  readonly publishAll: boolean
  readonly expose: readonly Pick<PublishedPort, 'protocol' | 'guestPort'>[]
  readonly network?: string
  readonly net?: string
  readonly dns: readonly string[]
  readonly dnsSearch: readonly string[]
  readonly dnsOption: readonly string[]
  readonly dnsOpt: readonly string[]
  readonly guestTraffic: boolean
  /** Rules of `--deny` and of `--allow`, in the order of the command line. */
  readonly deny: readonly PolicyRule[]
}

/** Adds the options to a verb's command line. */
export function networkOptions(command: Command): Command {
  // One list for both options: their order among each other counts.
  const rules: PolicyRule[] = []
  const addRule = (action: PolicyRule['action']) => (text: string) => {
    rules.push(parsePolicyRule(action, text))
    return rules
  }
  return command
    .option(
      '-p, --publish <port>',
      '[ADDRESS:]HOST:GUEST[/udp] or ranges: a port of the host into the guest; without ADDRESS of loopback',
      (text, before: readonly PublishedPort[]) => [...before, ...parsePublished(text)],
      [],
    )
    .option('-P, --publish-all', 'open ports that the host chooses into those that the image exposes', false)
    .option(
      '--expose <port>',
      'a further port for --publish-all: 80, 53/udp',
      (text, before: NetworkOptions['expose']) => [...before, ...parseGuestPorts(text)],
      [],
    )
    .option('--network <kind>', 'nat (default) or none')
    .option('--dns <address>', "name server for the guest, in place of the host's", collect, [])
    .option(
      '--dns-search <domain>',
      'domain that the guest looks for short names in; "." for none',
      collect,
      [],
    )
    .option('--dns-option <option>', 'option for the guest\'s resolver, such as "ndots:2"', collect, [])
    .option('--no-guest-traffic', 'keep it from other guests, and them from it')
    .addOption(
      new Option('--deny <rule>', 'RANGE[:PORTS][/PROTOCOL] that the guest may not open connections to')
        .argParser(addRule('deny'))
        .default(rules),
    )
    .addOption(
      new Option('--allow <rule>', 'an exception; of --allow and --deny the first that fits decides')
        .argParser(addRule('allow'))
        .default(rules),
    )
    .addOption(new Option('--net <kind>').hideHelp()) // Docker's older words.
    .addOption(new Option('--dns-opt <option>').argParser(collect).default([]).hideHelp())
}

/** What was asked for; undefined where nothing was. Throws a UsageError. */
export function readNetwork(options: NetworkOptions): NetworkRequest | undefined {
  const { network = options.net, dns, dnsSearch, guestTraffic, deny: policy } = options
  const kind = network === undefined ? undefined : networkKind(network)
  const ports = combinePorts(options.publish)
  if (kind === 'none' && (ports.length > 0 || options.publishAll))
    throw new UsageError('Cannot publish ports of a guest that has no network', {
      hint: 'Leave out --network none, or the ports.',
    })
  for (const server of dns)
    if (isIP(server) === 0)
      throw new UsageError(`Cannot use the name server "${server}": it is no address`, {
        hint: 'Write --dns 192.0.2.53.',
      })
  if (dns.length > 3)
    throw new UsageError(`Cannot use ${dns.length} name servers: resolvers ask three at most`)
  const names = {
    servers: [...dns],
    search: [...dnsSearch],
    options: [...options.dnsOption, ...options.dnsOpt],
  }
  const asksNames = Object.values(names).some((list) => list.length > 0)
  const request: NetworkRequest = {
    ...(kind === undefined ? {} : { kind }),
    ...(ports.length === 0 ? {} : { ports }),
    ...(guestTraffic ? {} : { guests: false }),
    ...(policy.length === 0 ? {} : { policy: [...policy] }),
    ...(asksNames ? { dns: names } : {}),
  }
  return Object.keys(request).length === 0 ? undefined : request
}

/** `--network`, with docker's words for what there is. */
function networkKind(word: string): 'nat' | 'none' {
  switch (word) {
    case 'nat':
    case 'bridge':
    case 'default':
      return 'nat'
    case 'none':
      return 'none'
    case 'host':
      throw new UsageError("Cannot put a guest on the host's own network: it is a machine of its own", {
        hint: 'Open ports into it with -p HOST:GUEST; it reaches the world without an option.',
      })
    default:
      if (word.startsWith('container:'))
        throw new UsageError(`Cannot put a guest on the network of another: "${word}"`, {
          hint: 'Guests reach each other by name: NAME.guest.',
        })
      throw new UsageError(`Cannot use the network "${word}": there are nat and none`, {
        hint: 'All guests of a host reach each other; keep one apart with --no-guest-traffic.',
      })
  }
}
