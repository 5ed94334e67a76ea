// `bulkhead net ls`: guests with the addresses that are theirs, and the ports that lead into them.
import type { Command } from 'commander'
import type { NetworkList } from '../../../core/api/methods.ts'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { portsCell } from '../output/port-words.ts'
import { printable } from '../output/printable.ts'
import { renderTable } from '../output/table.ts'

export function configure(command: Command): void {
  command.option('--json', 'print JSON: the gateway, the subnets and the engine too', false)
  describeExamples(
    command,
    [
      ['net ls', 'a table'],
      ["net ls --json | jq -r '.gateway.ipv4'", "the guests' gateway and name server"],
    ],
    'An address stays with its guest until the guest is removed.',
  )
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const { json } = command.opts<{ readonly json: boolean }>()
  const client = await context.connect()
  const list = await client.request('network.list', {})
  if (json) await context.printJson(list)
  else await context.print(networkTable(list.guests))
  const { state, message } = list.engine
  if (state === 'failed')
    await context.note(
      `bulkhead: The network engine does not run: ${printable(message ?? 'it did not say why')}`,
    )
  return 0
}

/** The table of `net ls`. */
export function networkTable(guests: NetworkList['guests']): string {
  const rows = guests.map(({ name, isRunning, kind, ipv4, ipv6, mac, ports }) => [
    name,
    kind === 'none' ? 'none' : isRunning ? 'up' : 'down',
    ipv4 ?? '-',
    ipv6 ?? '-',
    mac ?? '-',
    portsCell(ports),
  ])
  return renderTable(['NAME', 'STATE', 'IPV4', 'IPV6', 'MAC', 'PORTS'], rows)
}
