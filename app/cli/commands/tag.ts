// `bulkhead tag`: a further name for an image.
import type { Command } from 'commander'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'

export function configure(command: Command): void {
  command
    .argument('<image>', 'a name, an id, or the beginning of an id')
    .argument('<name>', 'the new name; it moves if another image has it')
  describeExamples(command, [
    ['tag app:1.2 app:stable', 'another tag'],
    ['tag 0f3a9b registry.example:5000/team/app:1.2', 'a name for an image without one'],
  ])
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const [image = '', name = ''] = command.args
  const client = await context.connect()
  await client.request('images.tag', { image, name })
  return 0
}
