// `bulkhead wait`: a guest's status, when it has ended.
import type { Command } from 'commander'
import type { CliContext } from '../cli-context.ts'
import { forEachName } from '../each.ts'
import { describeExamples } from '../examples.ts'

export function configure(command: Command): void {
  command.argument('<guest...>', 'names, ids, or beginnings of ids')
  describeExamples(command, [['wait job', "print the status of job's program when it has ended"]])
}

export async function run(context: CliContext, command: Command): Promise<number> {
  return await forEachName(context, command.args, async (client, guest) => {
    const { code } = await client.request('guests.wait', { guest })
    return `${code}\n`
  })
}
