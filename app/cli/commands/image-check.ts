// `bulkhead image check`: every blob of the store is read again and compared with its name.
import type { Command } from 'commander'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { printLines } from '../output/print-lines.ts'
import { byteSize } from '../output/quantities.ts'

interface Options {
  readonly repair: boolean
  readonly json: boolean
}

export function configure(command: Command): void {
  command
    .option('--repair', 'remove what is damaged, so that the next pull fetches it again', false)
    .option('--json', 'print JSON', false)
  describeExamples(
    command,
    [
      ['image check', 'after a disk has failed'],
      ['image check --repair', 'and mend what can be mended'],
    ],
    'Ends with 1 where there is damage that was not repaired.',
  )
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const { repair, json } = command.opts<Options>()
  const client = await context.connect()
  const report = await context.interruptible((signal) =>
    client.request('store.check', { repair }, { signal }),
  )
  const { blobs, bytes, images, problems } = report
  const isSound = problems.every(({ repaired }) => repaired)
  if (json) await context.printJson(report)
  else
    await printLines(context, [
      ...problems.map(
        ({ subject, problem, repaired }) => `${subject}: ${problem}${repaired ? ' (removed)' : ''}`,
      ),
      `${counted(images, 'image')}, ${counted(blobs, 'blob')}, ${byteSize(bytes)}: ${problems.length === 0 ? 'all sound' : counted(problems.length, 'problem')}`,
    ])
  if (!isSound && !repair)
    await context.note('Remove what is damaged with --repair, then pull those images again')
  return isSound ? 0 : 1
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`
}
