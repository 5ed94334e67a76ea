// `bulkhead rmi`: takes images out of the store.
import type { Command } from 'commander'
import type { CliContext } from '../cli-context.ts'
import { forEachName } from '../each.ts'
import { describeExamples } from '../examples.ts'
import { printable } from '../output/printable.ts'

export function configure(command: Command): void {
  command
    .argument('<image...>', 'names, ids, or beginnings of ids')
    .option('-f, --force', 'even if guests are made from it', false)
  describeExamples(command, [
    ['rmi busybox:1.36', 'an image'],
    ['rmi $(bulkhead images -q)', 'all of them'],
  ])
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const { force } = command.opts<{ force: boolean }>()
  return await forEachName(context, command.args, async (client, image) => {
    const { untagged, deleted } = await client.request('images.remove', { image, force })
    const lines = [
      ...untagged.map((name) => `Untagged: ${name}`),
      ...deleted.map((name) => `Deleted: ${name}`),
    ]
    return lines.map((line) => `${printable(line)}\n`).join('')
  })
}
