// Every verb with its summary; its code is loaded when it is asked for.
import type { Command } from 'commander'
import type { CliContext } from './cli-context.ts'
import { UsageError } from './failure.ts'
import { imageVerbs } from './image-verbs.ts'
import { networkVerbs } from './network-verbs.ts'

export interface VerbModule {
  /** Adds the verb's arguments, options and examples. */
  readonly configure: (command: Command) => void
  /** Does it; resolves with the exit status. */
  readonly run: (context: CliContext, command: Command) => Promise<number>
}

export type VerbGroup = 'Guests' | 'Network' | 'Images' | 'Hosts' | 'Bulkhead'

export interface Verb {
  readonly name: string
  readonly group: VerbGroup
  readonly summary: string
  /** There is a shorter name, which the list of all verbs has. */
  readonly isSecondName?: boolean
  readonly load: () => Promise<VerbModule>
}

export interface FoundVerb {
  readonly verb: Verb
  readonly rest: readonly string[]
}

export const verbs: readonly Verb[] = [
  {
    name: 'run',
    group: 'Guests',
    summary: 'Run a program of an image in a new guest',
    load: () => import('./commands/run.ts'),
  },
  { name: 'ps', group: 'Guests', summary: 'List guests', load: () => import('./commands/ps.ts') },
  {
    name: 'logs',
    group: 'Guests',
    summary: 'Show what a guest has written',
    load: () => import('./commands/logs.ts'),
  },
  {
    name: 'attach',
    group: 'Guests',
    summary: "Connect to the program's input and output",
    load: () => import('./commands/attach.ts'),
  },
  {
    name: 'console',
    group: 'Guests',
    summary: "Connect to the guest's Xen console (hvc0)",
    load: () => import('./commands/console.ts'),
  },
  {
    name: 'stop',
    group: 'Guests',
    summary: 'End guests: a signal, some time, then force',
    load: () => import('./commands/stop.ts'),
  },
  {
    name: 'kill',
    group: 'Guests',
    summary: 'End guests at once, or send their programs a signal',
    load: () => import('./commands/kill.ts'),
  },
  { name: 'pause', group: 'Guests', summary: 'Freeze guests', load: () => import('./commands/pause.ts') },
  {
    name: 'unpause',
    group: 'Guests',
    summary: 'Let frozen guests go on',
    load: () => import('./commands/unpause.ts'),
  },
  { name: 'rm', group: 'Guests', summary: 'Remove guests', load: () => import('./commands/rm.ts') },
  {
    name: 'wait',
    group: 'Guests',
    summary: 'Wait until guests have ended and print their statuses',
    load: () => import('./commands/wait.ts'),
  },
  {
    name: 'inspect',
    group: 'Guests',
    summary: 'Print all that is known of guests, as JSON',
    load: () => import('./commands/inspect.ts'),
  },
  ...networkVerbs,
  ...imageVerbs,
  {
    name: 'host info',
    group: 'Hosts',
    summary: 'Show what the Xen host is and has',
    load: () => import('./commands/host-info.ts'),
  },
  {
    name: 'host check',
    group: 'Hosts',
    summary: 'Check whether the host is ready for guests',
    load: () => import('./commands/host-check.ts'),
  },
  {
    name: 'host dmesg',
    group: 'Hosts',
    summary: "Show the hypervisor's messages",
    load: () => import('./commands/host-dmesg.ts'),
  },
  {
    name: 'lab up',
    group: 'Hosts',
    summary: 'Boot the built-in lab: a real Xen host in QEMU',
    load: () => import('./commands/lab-up.ts'),
  },
  {
    name: 'lab down',
    group: 'Hosts',
    summary: 'Shut the lab down',
    load: () => import('./commands/lab-down.ts'),
  },
  {
    name: 'lab status',
    group: 'Hosts',
    summary: 'Show the labs that run',
    load: () => import('./commands/lab-status.ts'),
  },
  {
    name: 'lab shell',
    group: 'Hosts',
    summary: "Open a shell in the lab's dom0, or run a program there",
    load: () => import('./commands/lab-shell.ts'),
  },
  {
    name: 'lab console',
    group: 'Hosts',
    summary: 'Connect to the console of Xen and dom0 in the lab',
    load: () => import('./commands/lab-console.ts'),
  },
  {
    name: 'version',
    group: 'Bulkhead',
    summary: 'Show the versions of this command and of the core host',
    load: () => import('./commands/version.ts'),
  },
]

/** The verb that `words` begin with (one word or two) and what follows it. Throws a UsageError with a suggestion. */
export function findVerb(words: readonly string[]): FoundVerb {
  for (const length of [2, 1]) {
    const name = words.slice(0, length).join(' ')
    const verb = verbs.find((candidate) => candidate.name === name)
    if (verb !== undefined) return { verb, rest: words.slice(length) }
  }
  const [first = '', second] = words
  const members = verbs
    .filter(({ name }) => name.startsWith(`${first} `))
    .map(({ name }) => `"bulkhead ${name}"`)
  if (members.length > 0) {
    const problem =
      second === undefined || second.startsWith('-') ? 'needs a word behind it' : `has no "${second}"`
    throw new UsageError(`"bulkhead ${first}" ${problem}`, { hint: `There is ${listed(members)}.` })
  }
  const similar = verbs.filter(({ name }) => isSimilar(first, name)).map(({ name }) => `"bulkhead ${name}"`)
  throw new UsageError(`There is no command "${first}"`, {
    hint: similar.length > 0 ? `Did you mean ${listed(similar)}?` : 'See "bulkhead help".',
  })
}

function listed(items: readonly string[]): string {
  return new Intl.ListFormat('en-GB', { type: 'disjunction' }).format(items)
}

/** One letter wrong, missing, too many, or two swapped; or the beginning of the name. */
function isSimilar(typed: string, name: string): boolean {
  if (typed.length >= 2 && name.startsWith(typed)) return true
  const sorted = (text: string) => [...text].sort().join('')
  if (typed.length === name.length && sorted(typed) === sorted(name)) return true
  const [longer, shorter] = typed.length >= name.length ? [typed, name] : [name, typed]
  if (longer.length - shorter.length > 1 || shorter.length < 2) return false
  let same = 0
  while (same < shorter.length && longer[same] === shorter[same]) same++
  const skip = longer.length === shorter.length ? 1 : 0
  return longer.slice(same + 1) === shorter.slice(same + skip)
}
