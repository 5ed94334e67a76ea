// Help that a person can learn from: the list of verbs, and for each verb its options and examples.
import type { Command } from 'commander'
import { type VerbGroup, verbs } from './verbs.ts'

const groups: readonly VerbGroup[] = ['Guests', 'Network', 'Images', 'Hosts', 'Bulkhead']

/** What `bulkhead help` prints. */
export function topHelp(): string {
  const lists = groups.map((group) => {
    const members = verbs.filter((verb) => verb.group === group && !verb.isSecondName)
    return `${group}:\n${members.map(({ name, summary }) => `  ${name.padEnd(14)} ${summary}`).join('\n')}\n`
  })
  return `Usage: bulkhead [--host HOST] COMMAND [options]

Runs OCI images as Xen guests: real virtual machines, started like containers.

${lists.join('\n')}
  help COMMAND    More on a command, with examples

Which host: --host or BULKHEAD_HOST (unix:///PATH, a path, lab, lab:NAME), else this machine's own core host,
else a running lab.

Try:
  bulkhead lab up                          a Xen host, on any Linux machine
  bulkhead run --rm busybox echo hello     a guest that says hello and is gone
  bulkhead run -it --rm busybox sh         a shell in a guest of its own
`
}

/** What `bulkhead help GROUP` prints for `host`, `lab`, `image` and `net`; undefined for what is no such word. */
export function groupHelp(word: string): string | undefined {
  const members = verbs.filter(({ name }) => name.startsWith(`${word} `))
  if (members.length === 0) return undefined
  const list = members.map(({ name, summary }) => `  ${name.padEnd(14)} ${summary}`).join('\n')
  return `Usage: bulkhead ${word} COMMAND [options]\n\n${list}\n\nMore on each: bulkhead help ${word} COMMAND\n`
}

/** What `bulkhead help VERB` and `bulkhead VERB --help` print. */
export function verbHelp(command: Command): string {
  let text = ''
  command.configureOutput({ writeOut: (more) => (text += more) })
  command.outputHelp()
  return text
}
