// `bulkhead inspect`: everything, as JSON; always an array, with those that were found.
import type { Command } from 'commander'
import type { CliContext } from '../cli-context.ts'
import { inspectEach } from '../each.ts'
import { describeExamples } from '../examples.ts'

export function configure(command: Command): void {
  command
    .argument('<guest...>', 'names, ids, or beginnings of ids')
    .option('--json', 'print JSON (it always does)')
  describeExamples(command, [
    ['inspect web', 'all about a guest'],
    ["inspect web | jq '.[0].exit'", 'how it ended'],
  ])
}

export async function run(context: CliContext, command: Command): Promise<number> {
  return await inspectEach(context, command.args, (client, guest) =>
    client.request('guests.inspect', { guest }),
  )
}
