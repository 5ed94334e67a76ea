// `bulkhead images`: what is in the store.
import { type Command, Option } from 'commander'
import type { ImageSummary } from '../../../core/api/methods.ts'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { UsageError } from '../failure.ts'
import { splitImageName } from '../images/image-names.ts'
import { referenceFilter } from '../images/reference-filter.ts'
import { shortId } from '../output/guest-words.ts'
import { byteSize, timeAgo } from '../output/quantities.ts'
import { renderTable } from '../output/table.ts'
import { collect } from '../verb-command.ts'

interface Options {
  readonly quiet: boolean
  readonly trunc: boolean
  readonly digests: boolean
  readonly filter: readonly string[]
  readonly json: boolean
}

export function configure(command: Command): void {
  command
    .argument('[repository]', 'only images of this name, with or without a tag; * and ? stand for anything')
    .option('-q, --quiet', 'ids only', false)
    .option('--no-trunc', 'whole ids')
    .option('--digests', 'digests too', false)
    .option('-f, --filter <filter>', 'reference=PATTERN; several are alternatives', collect, [])
    .option('--json', 'print JSON', false)
    .addOption(new Option('-a, --all').hideHelp()) // All are shown anyway; docker's users type it.
  describeExamples(command, [
    ['images', 'a table'],
    ["images --filter 'reference=*/app:1.*'", 'some of them'],
    ['images --json', 'for scripts'],
  ])
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const { quiet, trunc, digests, filter, json } = command.opts<Options>()
  const patterns = [...command.args, ...filter.map(patternOf)].map(referenceFilter)
  const client = await context.connect()
  const all = await client.request('images.list', {})
  const images = all.filter(
    ({ reference }) => patterns.length === 0 || patterns.some((isWanted) => isWanted(reference)),
  )
  const ids = new Set(images.map(({ digest }) => (trunc ? shortId(digest) : digest)))
  if (json) await context.printJson(images)
  else if (quiet) await context.print([...ids].map((id) => `${id}\n`).join(''))
  else await context.print(imageTable(images, { isWhole: !trunc, hasDigests: digests, nowMs: Date.now() }))
  return 0
}

function patternOf(filter: string): string {
  const pattern = /^reference=(.+)$/s.exec(filter)?.[1]
  if (pattern === undefined)
    throw new UsageError(`Cannot filter by ${JSON.stringify(filter)}`, {
      hint: 'Write --filter reference=PATTERN.',
    })
  return pattern
}

interface TableOptions {
  readonly isWhole: boolean
  readonly hasDigests: boolean
  readonly nowMs: number
}

/** The table of `images`. */
export function imageTable(
  images: readonly ImageSummary[],
  { isWhole, hasDigests, nowMs }: TableOptions,
): string {
  const digestColumn = (cell: string) => (hasDigests ? [cell] : [])
  const rows = images.map(({ reference, digest, createdAt, sizeBytes }) => {
    const { repository, tag } = splitImageName(reference)
    return [
      repository,
      tag,
      ...digestColumn(digest),
      isWhole ? digest : shortId(digest),
      createdAt === undefined ? 'N/A' : timeAgo(createdAt, nowMs),
      byteSize(sizeBytes),
    ]
  })
  return renderTable(['REPOSITORY', 'TAG', ...digestColumn('DIGEST'), 'IMAGE ID', 'CREATED', 'SIZE'], rows)
}
