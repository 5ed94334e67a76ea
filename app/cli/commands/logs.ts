// `bulkhead logs`: what a guest has written, its stdout to ours and its stderr to ours.
import type { Command } from 'commander'
import { runSession } from '../attach/session.ts'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { UsageError } from '../failure.ts'

interface Options {
  readonly follow: boolean
  readonly boot: boolean
  readonly tail?: string
}

export function configure(command: Command): void {
  command
    .argument('<guest>', 'a name, an id, or the beginning of an id')
    .option('-f, --follow', 'go on with what comes, until the guest ends', false)
    .option('--boot', "the kernel's and guest-init's words in place of the program's", false)
    .option('-n, --tail <lines>', 'begin with the last lines only')
  describeExamples(
    command,
    [
      ['logs web', 'everything the program wrote'],
      ['logs -f -n 20 web', 'the last 20 lines, then what comes'],
      ['logs --boot web', 'why a guest did not come up'],
    ],
    'While it boots the kernel says everything; after that only warnings and worse.',
  )
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const [guest = ''] = command.args
  const { follow, boot, tail } = command.opts<Options>()
  const isAll = tail === undefined || tail === 'all'
  if (!isAll && !/^\d+$/.test(tail))
    throw new UsageError(`Cannot show the last "${tail}" lines: write a number`)
  const client = await context.connect()
  const { ticket } = await client.request('streams.open', {
    kind: 'logs',
    guest,
    source: boot ? 'boot' : 'stdio',
    follow,
    ...(isAll ? {} : { tailLines: Number(tail) }),
  })
  const { process } = context
  const options = {
    process,
    client,
    ticket,
    stdin: false,
    terminal: false,
    forwardsSignals: false,
    detachKeys: [],
  }
  const end = await runSession(options)
  if (end.how === 'output-broken') throw end.error
  return 0
}
