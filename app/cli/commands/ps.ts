// `bulkhead ps`: docker's seven columns.
import type { Command } from 'commander'
import type { GuestSummary } from '../../../core/api/methods.ts'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { familiarName } from '../images/image-names.ts'
import { guestCommand, guestStatus, shortId } from '../output/guest-words.ts'
import { portsCell } from '../output/port-words.ts'
import { timeAgo } from '../output/quantities.ts'
import { renderTable } from '../output/table.ts'

interface Options {
  readonly all: boolean
  readonly quiet: boolean
  readonly trunc: boolean
  readonly json: boolean
}

export function configure(command: Command): void {
  command
    .option('-a, --all', 'those that have ended too', false)
    .option('-q, --quiet', 'ids only', false)
    .option('--no-trunc', 'whole ids and commands')
    .option('--json', 'print JSON', false)
  describeExamples(command, [
    ['ps', 'guests that run'],
    ['ps -a', 'all guests, with how they ended'],
    ['rm -f $(bulkhead ps -aq)', 'remove every guest'],
  ])
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const { all, quiet, trunc, json } = command.opts<Options>()
  const client = await context.connect()
  const guests = await client.request('guests.list', { all })
  guests.sort((one, other) => Date.parse(other.createdAt) - Date.parse(one.createdAt))
  if (json) await context.printJson(guests)
  else if (quiet) await context.print(guests.map(({ id }) => `${trunc ? shortId(id) : id}\n`).join(''))
  else await context.print(guestTable(guests, { isWhole: !trunc, nowMs: Date.now() }))
  return 0
}

/** The table of `ps`, newest first as the list is. */
export function guestTable(
  guests: readonly GuestSummary[],
  { isWhole, nowMs }: { isWhole: boolean; nowMs: number },
): string {
  const heading = ['GUEST ID', 'IMAGE', 'COMMAND', 'CREATED', 'STATUS', 'PORTS', 'NAMES']
  const rows = guests.map((guest) => [
    isWhole ? guest.id : shortId(guest.id),
    familiarName(guest.image),
    guestCommand(guest.command, isWhole),
    timeAgo(guest.createdAt, nowMs),
    guestStatus(guest, nowMs),
    portsCell(guest.ports),
    guest.name,
  ])
  return renderTable(heading, rows)
}
