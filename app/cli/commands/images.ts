// `bulkhead images`: what is in the store.
import type { Command } from 'commander'
import type { ImageSummary } from '../../../core/api/methods.ts'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { splitImageName } from '../images/image-names.ts'
import { shortId } from '../output/guest-words.ts'
import { byteSize, timeAgo } from '../output/quantities.ts'
import { renderTable } from '../output/table.ts'

interface Options {
  readonly quiet: boolean
  readonly trunc: boolean
  readonly json: boolean
}

export function configure(command: Command): void {
  command
    .option('-q, --quiet', 'ids only', false)
    .option('--no-trunc', 'whole ids')
    .option('--json', 'print JSON', false)
  describeExamples(command, [
    ['images', 'a table'],
    ['images --json', 'for scripts'],
  ])
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const { quiet, trunc, json } = command.opts<Options>()
  const client = await context.connect()
  const images = await client.request('images.list', {})
  const ids = new Set(images.map(({ digest }) => (trunc ? shortId(digest) : digest)))
  if (json) await context.printJson(images)
  else if (quiet) await context.print([...ids].map((id) => `${id}\n`).join(''))
  else await context.print(imageTable(images, { isWhole: !trunc, nowMs: Date.now() }))
  return 0
}

/** The table of `images`. */
export function imageTable(
  images: readonly ImageSummary[],
  { isWhole, nowMs }: { isWhole: boolean; nowMs: number },
): string {
  const rows = images.map(({ reference, digest, createdAt, sizeBytes }) => {
    const { repository, tag } = splitImageName(reference)
    return [
      repository,
      tag,
      isWhole ? digest : shortId(digest),
      createdAt === undefined ? 'N/A' : timeAgo(createdAt, nowMs),
      byteSize(sizeBytes),
    ]
  })
  return renderTable(['REPOSITORY', 'TAG', 'IMAGE ID', 'CREATED', 'SIZE'], rows)
}
