// `bulkhead port`: which ports of the host lead into a guest, in docker's words.
import type { Command } from 'commander'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { CliError, UsageError } from '../failure.ts'
import { parseGuestPorts } from '../options/publish.ts'
import { guestPortWord, hostEnds, portLines } from '../output/port-words.ts'
import { printLines } from '../output/print-lines.ts'

export function configure(command: Command): void {
  command
    .argument('<guest>', 'a name, an id, or the beginning of an id')
    .argument('[port]', 'of the guest: 80, 53/udp')
    .option('--json', 'print JSON', false)
  describeExamples(command, [
    ['port web', 'all of them'],
    ['port web 80', 'where port 80 is reached: 127.0.0.1:8080'],
    ['curl "http://$(bulkhead port web 80 | head -n 1)/"', 'in a script'],
  ])
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const [guest = '', word] = command.args
  const { json } = command.opts<{ readonly json: boolean }>()
  const wanted = word === undefined ? undefined : onePort(word)
  const client = await context.connect()
  const { name, network } = await client.request('guests.inspect', { guest })
  const ports = network.ports.filter(
    (port) =>
      wanted === undefined || (port.guestPort === wanted.guestPort && port.protocol === wanted.protocol),
  )
  if (wanted !== undefined && ports.length === 0)
    throw new CliError(
      'cli.not-published',
      `Port ${guestPortWord(wanted)} of guest "${name}" is not published`,
      {
        hint: `Open it with: bulkhead net publish ${name} HOST:${wanted.guestPort}${wanted.protocol === 'udp' ? '/udp' : ''}`,
      },
    )
  if (json) await context.printJson(ports)
  else await printLines(context, wanted === undefined ? portLines(ports) : ports.flatMap(hostEnds))
  return 0
}

function onePort(word: string): ReturnType<typeof parseGuestPorts>[number] {
  const [port, ...more] = parseGuestPorts(word)
  if (port === undefined || more.length > 0)
    throw new UsageError(`Cannot look up "${word}": name one port`, { hint: 'All are shown without a port.' })
  return port
}
