// `bulkhead net publish`: ports of the host into a guest that runs; all of them or none.
import type { Command } from 'commander'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { combinePorts, parsePublished } from '../options/publish.ts'
import { portLines } from '../output/port-words.ts'
import { printLines } from '../output/print-lines.ts'

export function configure(command: Command): void {
  command
    .argument('<guest>', 'a name, an id, or the beginning of an id')
    .argument('<port...>', 'as for run -p: [ADDRESS:]HOST:GUEST[/udp], with ranges')
    .option('--json', 'print JSON', false)
  describeExamples(
    command,
    [
      ['net publish web 8080:80', 'http://localhost:8080 leads to port 80 of the guest'],
      ['net publish web 80', 'at a port that the host chooses, and prints'],
      ['net publish dns 0.0.0.0:5353:53/udp', 'for everybody who reaches this host'],
    ],
    'Without an address a port is open on loopback only. What is printed is what "bulkhead port" prints.',
  )
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const [guest = '', ...words] = command.args
  const { json } = command.opts<{ readonly json: boolean }>()
  const asked = combinePorts(words.flatMap(parsePublished))
  const client = await context.connect()
  const { ports } = await client.request('network.publish', { guest, ports: asked })
  if (json) await context.printJson(ports)
  else await printLines(context, portLines(ports))
  return 0
}
