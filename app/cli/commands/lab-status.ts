// `bulkhead lab status`: the labs that run on this machine.
import type { Command } from 'commander'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { timeAgo } from '../output/quantities.ts'
import { renderTable } from '../output/table.ts'

export function configure(command: Command): void {
  command.option('--json', 'print JSON', false)
  describeExamples(command, [['lab status', 'name, state, memory, and the socket of the core host']])
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const { statusOfAll } = await import('../../../lab/commands.ts')
  const labs = await statusOfAll()
  if (command.opts<{ json: boolean }>().json) await context.printJson(labs)
  else if (labs.length === 0) await context.note('No lab is running. Boot one with: bulkhead lab up')
  else {
    const rows = labs.map((lab) => [
      lab.name,
      lab.state,
      lab.detail,
      `${lab.memoryMiB} MiB`,
      lab.accelerator,
      timeAgo(lab.startedAt, Date.now()),
      lab.coreSocket,
    ])
    await context.print(
      renderTable(['NAME', 'STATE', 'DETAIL', 'MEMORY', 'CPU', 'STARTED', 'CORE HOST'], rows),
    )
  }
  return 0
}
