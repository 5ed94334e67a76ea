// `bulkhead net stats`: what passed on guests' wires, what was not carried and why, and what the engine needs for it.
import type { Command } from 'commander'
import type { GuestTraffic, NetworkStats } from '../../../core/api/methods.ts'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { byteSize } from '../output/quantities.ts'
import { renderTable } from '../output/table.ts'

export function configure(command: Command): void {
  command
    .argument('[guest]', 'a name, an id, or the beginning of an id; all without it')
    .option('--json', 'print JSON', false)
  describeExamples(
    command,
    [
      ['net stats', 'all guests, and the engine'],
      ["net stats web --json | jq '.guests[0].drops'", 'what of a guest was not carried'],
    ],
    'IN is toward the guest. Counted since the engine met the guest; DROPPED says why, docs/networking.md what each means.',
  )
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const [guest] = command.args
  const { json } = command.opts<{ readonly json: boolean }>()
  const client = await context.connect()
  const stats = await client.request('network.stats', guest === undefined ? {} : { guest })
  if (json) await context.printJson(stats)
  else
    await context.print(
      guest === undefined
        ? `${trafficTable(stats.guests)}\n${engineTable(stats.engine)}`
        : trafficTable(stats.guests),
    )
  return 0
}

/** A row for each guest. */
export function trafficTable(guests: readonly GuestTraffic[]): string {
  const heading = [
    'NAME',
    'IN',
    'OUT',
    'FRAMES IN',
    'FRAMES OUT',
    'TCP',
    'UDP',
    'PING',
    'OPENED',
    'RESENT',
    'DROPPED',
  ]
  const rows = guests.map((guest) => [
    guest.name,
    byteSize(guest.inBytes),
    byteSize(guest.outBytes),
    `${guest.inFrames}`,
    `${guest.outFrames}`,
    `${guest.tcpFlows}`,
    `${guest.udpFlows}`,
    `${guest.pingFlows}`,
    `${guest.flowsOpened}`,
    `${guest.retransmissions}`,
    dropsCell(guest.drops),
  ])
  return renderTable(heading, rows)
}

/** `12 policy, 3 bad-checksum`: most first; `0` where there are none. */
function dropsCell(drops: GuestTraffic['drops']): string {
  const counted = Object.entries(drops).filter(([, count]) => count > 0)
  counted.sort(([, one], [, other]) => other - one)
  return counted.length === 0 ? '0' : counted.map(([reason, count]) => `${count} ${reason}`).join(', ')
}

function engineTable(engine: NetworkStats['engine']): string {
  const { residentBytes, cpuTimeMs, flows, poolBytes, descriptors } = engine
  return renderTable(
    ['ENGINE MEMORY', 'CPU TIME', 'FLOWS', 'UNACKNOWLEDGED', 'DESCRIPTORS'],
    [
      [
        byteSize(residentBytes),
        `${(cpuTimeMs / 1000).toFixed(1)}s`,
        `${flows}`,
        byteSize(poolBytes),
        `${descriptors}`,
      ],
    ],
  )
}
