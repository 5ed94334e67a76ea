// `bulkhead lab down`: shuts labs down in order.
import type { Command } from 'commander'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { type LabNameOption, labNameOption } from '../options/lab-name.ts'

interface Options extends LabNameOption {
  readonly all: boolean
}

export function configure(command: Command): void {
  labNameOption(command).option('--all', 'every lab that runs', false)
  describeExamples(command, [
    ['lab down', 'shut it down; its guests end'],
    ['lab down --all', 'all of them'],
  ])
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const { name, all } = command.opts<Options>()
  const { down, statusOfAll } = await import('../../../lab/commands.ts')
  const names = all ? (await statusOfAll()).map((lab) => lab.name) : [name]
  for (const one of names) {
    const didRun = await down(one, (line) => void context.note(line))
    await context.note(didRun ? `The lab "${one}" is down.` : `The lab "${one}" was not running.`)
  }
  return 0
}
