// `bulkhead net flows`: who talks to whom.
import type { Command } from 'commander'
import type { NetworkFlow } from '../../../core/api/methods.ts'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { byteSize, shortDuration } from '../output/quantities.ts'
import { renderTable } from '../output/table.ts'

export function configure(command: Command): void {
  command
    .argument('[guest]', 'a name, an id, or the beginning of an id; all without it')
    .option('--json', 'print JSON', false)
  describeExamples(
    command,
    [
      ['net flows', 'of all guests'],
      ['net flows web', 'of one'],
      ["net flows --json | jq -r '.[].remoteEnd' | sort | uniq -c", 'who is talked to most'],
    ],
    'IN is toward the guest. Traffic between guests passes without flows: it is in their stats.',
  )
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const [guest] = command.args
  const { json } = command.opts<{ readonly json: boolean }>()
  const client = await context.connect()
  const flows = await client.request('network.flows', guest === undefined ? {} : { guest })
  if (json) await context.printJson(flows)
  else await context.print(flowTable(flows))
  return 0
}

/** The table of `net flows`; the arrow points from who opened it. */
export function flowTable(flows: readonly NetworkFlow[]): string {
  const rows = flows.map((flow) => [
    flow.name,
    flow.protocol,
    flow.guestEnd,
    flow.direction === 'out' ? '->' : '<-',
    flow.remoteEnd,
    flow.state,
    byteSize(flow.inBytes),
    byteSize(flow.outBytes),
    shortDuration(flow.ageMs),
    shortDuration(flow.idleMs),
  ])
  return renderTable(['NAME', 'PROTO', 'GUEST', '', 'REMOTE', 'STATE', 'IN', 'OUT', 'AGE', 'IDLE'], rows)
}
