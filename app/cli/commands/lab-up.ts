// `bulkhead lab up`: a Xen host in QEMU, on any Linux machine.
import type { Command } from 'commander'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { UsageError } from '../failure.ts'
import { type LabNameOption, labNameOption } from '../options/lab-name.ts'

interface Options extends LabNameOption {
  readonly memory?: string
  readonly dom0Memory?: string
  readonly core: boolean
}

export function configure(command: Command): void {
  labNameOption(command)
    .option('--memory <MiB>', 'all of its memory (default: 3072)')
    .option('--dom0-memory <MiB>', 'the share of dom0')
    .option('--no-core', 'do not start the core host in it')
  describeExamples(
    command,
    [
      ['lab up', 'boot it, or wait for it; nothing to do if it runs'],
      ['lab up --name big --memory 12288', 'one more, with 12 GiB'],
    ],
    'The first time it downloads packages and builds an image; later it is there in seconds. Commands use a running\nlab where this machine is no dom0 itself.',
  )
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const { name, memory, dom0Memory, core } = command.opts<Options>()
  const { up } = await import('../../../lab/commands.ts')
  const given = {
    name,
    runsCore: core,
    ...(memory === undefined ? {} : { memoryMiB: wholeMiB(memory) }),
    ...(dom0Memory === undefined ? {} : { dom0MemoryMiB: wholeMiB(dom0Memory) }),
  }
  const lab = await up(given, (line) => void context.note(line))
  await context.note(`The lab "${lab.name}" is up.`)
  return 0
}

function wholeMiB(text: string): number {
  if (/^\d+$/.test(text)) return Number(text)
  throw new UsageError(`Cannot give the lab "${text}" MiB: write a whole number`)
}
