// `bulkhead console`: the guest's Xen console, where its kernel and guest-init speak.
import type { Command } from 'commander'
import { defaultDetachKeys, parseDetachKeys } from '../attach/detach-keys.ts'
import { runSession } from '../attach/session.ts'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'

export function configure(command: Command): void {
  command
    .argument('<guest>', 'a name, an id, or the beginning of an id')
    .option('--detach-keys <keys>', 'keys that leave it (default: ctrl-]); "" for none', defaultDetachKeys)
  describeExamples(
    command,
    [
      ['console web', 'from the first line of its kernel on'],
      ['console web < /dev/null', 'look on without typing'],
    ],
    'Leave with Ctrl-]. What the program itself writes is not here: see "bulkhead logs" and "bulkhead attach".\nWhile it boots the kernel says everything; after that only warnings and worse.',
  )
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const [guest = ''] = command.args
  const { detachKeys } = command.opts<{ detachKeys: string }>()
  const keys = parseDetachKeys(detachKeys)
  const client = await context.connect()
  const { ticket } = await client.request('streams.open', { kind: 'console', guest, from: 'start' })
  const { process } = context
  const stdin = process.stdin.isTTY
  if (stdin && detachKeys !== '') await context.note(`Console of guest "${guest}"; ${detachKeys} leaves it.`)
  const options = { process, client, ticket, stdin, terminal: true, forwardsSignals: false, detachKeys: keys }
  const end = await runSession(options)
  if (end.how === 'output-broken') throw end.error
  if (end.how === 'detached') await context.note('\nLeft the console.')
  return 0
}
