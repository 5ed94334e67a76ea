// `bulkhead image prune`: takes away what is not needed, after it has said what that is.
import type { Command } from 'commander'
import type { ResultOf } from '../../../core/api/methods.ts'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { UsageError } from '../failure.ts'
import { shortId } from '../output/guest-words.ts'
import { printLines } from '../output/print-lines.ts'
import { byteSize } from '../output/quantities.ts'
import { confirm } from '../prompt.ts'

interface Options {
  readonly all: boolean
  readonly derived: boolean
  readonly dryRun: boolean
  readonly force: boolean
}

type Pruned = ResultOf<'images.prune'>

export function configure(command: Command): void {
  command
    .option('-a, --all', 'every image that no guest was made from, not only those without a tag', false)
    .option('--derived', 'also what can be made again: root images, and layers kept ready for them', false)
    .option('--dry-run', 'only tell what would go', false)
    .option('-f, --force', 'do not ask', false)
  describeExamples(
    command,
    [
      ['image prune --dry-run', 'see what would go'],
      ['image prune -a -f', 'all that no guest needs, without a question'],
    ],
    'Leftovers of downloads go too.',
  )
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const { all, derived, dryRun, force } = command.opts<Options>()
  const { stdin } = context.process
  if (!dryRun && !force && !stdin.isTTY)
    throw new UsageError('Cannot ask whether to remove images: standard input is no terminal', {
      hint: 'Say so with -f, or see what would go with --dry-run.',
    })
  const client = await context.connect()
  if (dryRun || !force) {
    const preview = await client.request('images.prune', { all, derived, dryRun: true })
    if (dryRun) {
      await printLines(context, [...prunedLines(preview), `Would free: ${byteSize(preview.freedBytes)}`])
      return 0
    }
    for (const line of prunedLines(preview)) await context.note(`Will remove: ${line}`)
    if (!(await confirm(context, `This frees ${byteSize(preview.freedBytes)}. Continue?`))) return 0
  }
  const pruned = await client.request('images.prune', { all, derived, dryRun: false })
  await printLines(context, [...prunedLines(pruned), `Total reclaimed space: ${byteSize(pruned.freedBytes)}`])
  return 0
}

function prunedLines({ images }: Pruned): string[] {
  return images.map(({ reference, digest }) => `${reference} (${shortId(digest)})`)
}
