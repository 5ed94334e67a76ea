// `bulkhead stop`: the program's stop signal, some time to end, then force.
import type { Command } from 'commander'
import type { CliContext } from '../cli-context.ts'
import { forEachName } from '../each.ts'
import { describeExamples } from '../examples.ts'
import { UsageError } from '../failure.ts'

interface Options {
  readonly time?: string
  readonly signal?: string
}

export function configure(command: Command): void {
  command
    .argument('<guest...>', 'names, ids, or beginnings of ids')
    .option('-t, --time <seconds>', 'how long the program has to end (default: 10)')
    .option('-s, --signal <signal>', "in place of the image's stop signal (else SIGTERM)")
  describeExamples(command, [
    ['stop web', 'ask it to end, for ten seconds'],
    ['stop -t 60 db', 'give a database a minute'],
  ])
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const { time, signal } = command.opts<Options>()
  const timeoutSeconds = time === undefined ? undefined : Number(time)
  if (timeoutSeconds !== undefined && !(timeoutSeconds >= 0 && timeoutSeconds <= 86400))
    throw new UsageError(`Cannot wait "${time}" seconds: write a number from 0 to 86400`)
  return await forEachName(context, command.args, async (client, guest) => {
    await client.request('guests.stop', {
      guest,
      ...(signal === undefined ? {} : { signal }),
      ...(timeoutSeconds === undefined ? {} : { timeoutSeconds }),
    })
    return `${guest}\n`
  })
}
