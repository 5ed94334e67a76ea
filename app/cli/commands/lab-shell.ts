// `bulkhead lab shell`: a shell in the lab's dom0, or one program there.
import type { Command } from 'commander'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { type LabNameOption, labNameOption } from '../options/lab-name.ts'

export function configure(command: Command): void {
  labNameOption(command).argument('[program...]').passThroughOptions()
  describeExamples(command, [
    ['lab shell', 'a shell of root in dom0'],
    ['lab shell xl list', "Xen's own view of the guests"],
  ])
}

export async function run(_context: CliContext, command: Command): Promise<number> {
  const { filesOf } = await import('../../../lab/commands.ts')
  const { execInLab, shellInLab } = await import('../../../lab/terminal.ts')
  const files = filesOf(command.opts<LabNameOption>().name)
  return command.args.length === 0 ? await shellInLab(files) : await execInLab(files, command.args)
}
