// `bulkhead history`: how an image was made, the last step first, in docker's columns.
import type { Command } from 'commander'
import type { ImageDetails } from '../../../core/api/methods.ts'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { historySteps, stepWords } from '../images/image-history.ts'
import { shortId } from '../output/guest-words.ts'
import { byteSize, timeAgo } from '../output/quantities.ts'
import { renderTable } from '../output/table.ts'

interface Options {
  readonly quiet: boolean
  readonly trunc: boolean
  readonly json: boolean
}

const longestStep = 45

export function configure(command: Command): void {
  command
    .argument('<image>', 'a name, an id, or the beginning of an id')
    .option('--no-trunc', 'whole commands and ids')
    .option('-q, --quiet', 'ids only', false)
    .option('--json', 'print JSON, the last step first', false)
  describeExamples(command, [
    ['history busybox', 'a table'],
    ["history --json app | jq '.[].createdBy'", 'the commands, whole'],
  ])
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const [name = ''] = command.args
  const { quiet, trunc, json } = command.opts<Options>()
  const client = await context.connect()
  const image = await client.request('images.inspect', { image: name })
  if (json) await context.printJson(historyDocument(image))
  else if (quiet)
    await context.print(
      historyIds(image, !trunc)
        .map((id) => `${id}\n`)
        .join(''),
    )
  else await context.print(historyTable(image, { isWhole: !trunc, nowMs: Date.now() }))
  return 0
}

/** The steps for programs: `id` where a step has one, sizes as far as they are known. */
export function historyDocument(image: ImageDetails): Record<string, unknown>[] {
  return historySteps(image)
    .reverse()
    .map(({ createdBy, createdAt, comment, layer }, index) => ({
      ...(index === 0 ? { id: image.digest } : {}),
      ...(createdAt === undefined ? {} : { createdAt }),
      createdBy,
      comment,
      empty: layer === undefined,
      ...(layer === undefined ? {} : { layer: layer.digest, sizeBytes: layer.sizeBytes }),
      ...(layer?.contentBytes === undefined ? {} : { contentBytes: layer.contentBytes }),
    }))
}

/** The table of `history`. Sizes are of what the layers hold, or of the packed layers where that is not known yet. */
export function historyTable(
  image: ImageDetails,
  { isWhole, nowMs }: { isWhole: boolean; nowMs: number },
): string {
  const ids = historyIds(image, isWhole)
  const isKnown = image.layers.every(({ contentBytes }) => contentBytes !== undefined)
  const rows = historySteps(image)
    .reverse()
    .map(({ createdBy, createdAt, comment, layer }, index) => [
      ids[index] ?? '',
      createdAt === undefined ? 'N/A' : timeAgo(createdAt, nowMs),
      isWhole ? createdBy : shortened(stepWords(createdBy)),
      byteSize((isKnown ? layer?.contentBytes : layer?.sizeBytes) ?? 0),
      comment,
    ])
  return renderTable(['IMAGE', 'CREATED', 'CREATED BY', isKnown ? 'SIZE' : 'PACKED SIZE', 'COMMENT'], rows)
}

/** The image's own id for the last step; docker's `<missing>` for those before it, which are no images. */
function historyIds(image: ImageDetails, isWhole: boolean): string[] {
  const id = isWhole ? image.digest : shortId(image.digest)
  return historySteps(image).map((_, index) => (index === 0 ? id : '<missing>'))
}

function shortened(words: string): string {
  const characters = [...words]
  return characters.length <= longestStep ? words : `${characters.slice(0, longestStep - 1).join('')}…`
}
