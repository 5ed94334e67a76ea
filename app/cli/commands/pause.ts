// `bulkhead pause`: takes a guest's processors away; its memory stays.
import type { Command } from 'commander'
import type { CliContext } from '../cli-context.ts'
import { forEachName } from '../each.ts'
import { describeExamples } from '../examples.ts'

export function configure(command: Command): void {
  command.argument('<guest...>', 'names, ids, or beginnings of ids')
  describeExamples(command, [['pause web', 'until "bulkhead unpause web"']])
}

export async function run(context: CliContext, command: Command): Promise<number> {
  return await forEachName(context, command.args, async (client, guest) => {
    await client.request('guests.pause', { guest })
    return `${guest}\n`
  })
}
