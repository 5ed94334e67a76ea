// `bulkhead net unpublish`: closes published ports; connections that came through them go on.
import type { Command } from 'commander'
import type { PublishedPort } from '../../../core/api/methods.ts'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { CliError, UsageError } from '../failure.ts'
import { parsePublished } from '../options/publish.ts'

export function configure(command: Command): void {
  command
    .argument('<guest>', 'a name, an id, or the beginning of an id')
    .argument('[port...]', 'as it was published; GUEST[/udp] alone for whatever leads there')
    .option('-a, --all', 'every port of the guest', false)
  describeExamples(command, [
    ['net unpublish web 8080:80', 'that one'],
    ['net unpublish web 80', 'every port of the host that leads to port 80'],
    ['net unpublish --all web', 'all of them'],
  ])
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const [guest = '', ...words] = command.args
  const { all } = command.opts<{ readonly all: boolean }>()
  if (all === words.length > 0)
    throw new UsageError('Cannot tell which ports to close: name them, or write --all', {
      hint: 'See them with "bulkhead port".',
    })
  const asked = words.flatMap((word) => parsePublished(word).map((port) => ({ port, word })))
  const client = await context.connect()
  const { id, name, network } = await client.request('guests.inspect', { guest })
  const chosen = new Set(all ? network.ports : [])
  for (const { port, word } of asked) {
    const fitting = network.ports.filter((open) => fits(open, port))
    if (fitting.length === 0)
      throw new CliError('cli.not-published', `Guest "${name}" has no published port ${word}`, {
        hint: `See those it has with: bulkhead port ${name}`,
      })
    for (const open of fitting) chosen.add(open)
  }
  if (chosen.size > 0) await client.request('network.unpublish', { guest: id, ports: [...chosen] })
  return 0
}

/** What was not said (an address, a port of the host) may be anything. */
function fits(open: PublishedPort, asked: PublishedPort): boolean {
  return (
    open.guestPort === asked.guestPort &&
    open.protocol === asked.protocol &&
    (asked.bind === '' || open.bind === asked.bind) &&
    (asked.hostPort === 0 || open.hostPort === asked.hostPort)
  )
}
