// `bulkhead lab console`: the serial console of Xen and dom0.
import { createReadStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import type { Command } from 'commander'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { type LabNameOption, labNameOption } from '../options/lab-name.ts'

export function configure(command: Command): void {
  labNameOption(command).option('--log', 'print what it has said so far, and do no more', false)
  describeExamples(
    command,
    [
      ['lab console', 'see and type'],
      ['lab console --log', 'why the lab did not come up'],
    ],
    'Leave with Ctrl-]. Ctrl-A three times switches between Xen and dom0.',
  )
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const { name, log } = command.opts<LabNameOption & { log: boolean }>()
  const { filesOf } = await import('../../../lab/commands.ts')
  const files = filesOf(name)
  if (log) await pipeline(createReadStream(files.consoleLog), context.process.stdout, { end: false })
  else {
    const { attachConsole } = await import('../../../lab/terminal.ts')
    await attachConsole(files)
  }
  return 0
}
