// `bulkhead unpause`: gives a paused guest its processors back.
import type { Command } from 'commander'
import type { CliContext } from '../cli-context.ts'
import { forEachName } from '../each.ts'
import { describeExamples } from '../examples.ts'

export function configure(command: Command): void {
  command.argument('<guest...>', 'names, ids, or beginnings of ids')
  describeExamples(command, [['unpause web', 'go on where "bulkhead pause web" stopped it']])
}

export async function run(context: CliContext, command: Command): Promise<number> {
  return await forEachName(context, command.args, async (client, guest) => {
    await client.request('guests.unpause', { guest })
    return `${guest}\n`
  })
}
