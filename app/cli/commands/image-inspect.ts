// `bulkhead image inspect`: everything, as JSON; always an array, with those that were found.
import type { Command } from 'commander'
import type { CliContext } from '../cli-context.ts'
import { inspectEach } from '../each.ts'
import { describeExamples } from '../examples.ts'

export function configure(command: Command): void {
  command
    .argument('<image...>', 'names, ids, or beginnings of ids')
    .option('--json', 'print JSON (it always does)')
  describeExamples(command, [
    ['image inspect busybox', 'layers, history and run configuration'],
    ["image inspect busybox | jq '.[0].run'", 'what it runs, as whom, with what variables'],
  ])
}

export async function run(context: CliContext, command: Command): Promise<number> {
  return await inspectEach(context, command.args, (client, image) =>
    client.request('images.inspect', { image }),
  )
}
