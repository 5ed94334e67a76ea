// `bulkhead kill`: ends the domain at once, or sends the program a signal.
import type { Command } from 'commander'
import type { CliContext } from '../cli-context.ts'
import { forEachName } from '../each.ts'
import { describeExamples } from '../examples.ts'

export function configure(command: Command): void {
  command
    .argument('<guest...>', 'names, ids, or beginnings of ids')
    .option('-s, --signal <signal>', 'send this signal to the program, and do no more')
  describeExamples(command, [
    ['kill web', 'end the machine at once'],
    ['kill -s HUP web', 'have the program read its configuration again'],
  ])
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const { signal } = command.opts<{ signal?: string }>()
  return await forEachName(context, command.args, async (client, guest) => {
    await client.request('guests.kill', { guest, ...(signal === undefined ? {} : { signal }) })
    return `${guest}\n`
  })
}
