// `bulkhead rm`: forgets guests, with their logs.
import type { Command } from 'commander'
import type { CliContext } from '../cli-context.ts'
import { forEachName } from '../each.ts'
import { describeExamples } from '../examples.ts'

export function configure(command: Command): void {
  command
    .argument('<guest...>', 'names, ids, or beginnings of ids')
    .option('-f, --force', 'end those that run', false)
  describeExamples(command, [
    ['rm old', 'a guest that has ended'],
    ['rm -f web', 'even while it runs'],
  ])
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const { force } = command.opts<{ force: boolean }>()
  return await forEachName(context, command.args, async (client, guest) => {
    await client.request('guests.remove', { guest, force })
    return `${guest}\n`
  })
}
