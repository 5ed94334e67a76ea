// `bulkhead image layers`: what an image is made of, the lowest layer first.
import type { Command } from 'commander'
import type { ImageDetails } from '../../../core/api/methods.ts'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { historySteps, stepWords } from '../images/image-history.ts'
import { shortId } from '../output/guest-words.ts'
import { byteSize } from '../output/quantities.ts'
import { renderTable } from '../output/table.ts'

interface Options {
  readonly trunc: boolean
  readonly json: boolean
}

const longestStep = 60

export function configure(command: Command): void {
  command
    .argument('<image>', 'a name, an id, or the beginning of an id')
    .option('--no-trunc', 'whole digests and commands')
    .option('--json', 'print JSON', false)
  describeExamples(
    command,
    [
      ['image layers busybox', 'a table, the lowest layer first'],
      ["image layers --json app | jq '.[].digest'", 'for scripts'],
    ],
    'SIZE is of the packed layer, UNPACKED of the files in it. "-" is not known before the layer was read once.',
  )
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const [name = ''] = command.args
  const { trunc, json } = command.opts<Options>()
  const client = await context.connect()
  const image = await client.request('images.inspect', { image: name })
  if (json) await context.printJson(layersDocument(image))
  else await context.print(layersTable(image, !trunc))
  return 0
}

/** The layers for programs, with what made each. */
export function layersDocument(image: ImageDetails): Record<string, unknown>[] {
  return historySteps(image).flatMap(({ layer, createdBy }) =>
    layer === undefined ? [] : [{ ...layer, createdBy }],
  )
}

export function layersTable(image: ImageDetails, isWhole: boolean): string {
  const rows = historySteps(image).flatMap(({ layer, createdBy }) => {
    if (layer === undefined) return []
    const { digest, sizeBytes, contentBytes, entries } = layer
    const words = [...stepWords(createdBy)]
    return [
      [
        isWhole ? digest : shortId(digest),
        byteSize(sizeBytes),
        contentBytes === undefined ? '-' : byteSize(contentBytes),
        entries === undefined ? '-' : String(entries),
        isWhole || words.length <= longestStep
          ? words.join('')
          : `${words.slice(0, longestStep - 1).join('')}…`,
      ],
    ]
  })
  return renderTable(['DIGEST', 'SIZE', 'UNPACKED', 'FILES', 'CREATED BY'], rows)
}
