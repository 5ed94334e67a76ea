// `bulkhead attach`: the input and output of a program that runs already.
import type { Command } from 'commander'
import { defaultDetachKeys, parseDetachKeys } from '../attach/detach-keys.ts'
import { reportOutcome } from '../attach/outcome.ts'
import { runSession } from '../attach/session.ts'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { CliError, UsageError } from '../failure.ts'

interface Options {
  readonly stdin: boolean
  readonly sigProxy: boolean
  readonly detachKeys: string
}

export function configure(command: Command): void {
  command
    .argument('<guest>', 'a name, an id, or the beginning of an id')
    .option('--no-stdin', 'do not pass standard input on')
    .option('--no-sig-proxy', 'do not pass signals on to the program')
    .option(
      '--detach-keys <keys>',
      'keys that leave the guest running (default: ctrl-]); "" for none',
      defaultDetachKeys,
    )
  describeExamples(
    command,
    [
      ['attach web', 'what it writes from now on'],
      ['attach --no-stdin shell', 'look on without typing'],
    ],
    "Leave with Ctrl-]. When the program ends, its status becomes this command's.",
  )
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const [guest = ''] = command.args
  const { stdin: wantsStdin, sigProxy, detachKeys } = command.opts<Options>()
  const keys = parseDetachKeys(detachKeys)
  const client = await context.connect()
  const { id, name, state, process: program } = await client.request('guests.inspect', { guest })
  if (state !== 'running' && state !== 'starting')
    throw new CliError(
      'cli.guest-not-running',
      `Cannot attach to guest "${name}": it is ${stateWords[state]}`,
      {
        hint:
          state === 'paused'
            ? `Let it go on with: bulkhead unpause ${name}`
            : `See what it wrote with: bulkhead logs ${name}`,
      },
    )
  const stdin = wantsStdin && program.stdin
  if (stdin && program.terminal && !context.process.stdin.isTTY)
    throw new UsageError(`Cannot type into guest "${name}": standard input is no terminal`, {
      hint: 'Add --no-stdin to look on only.',
    })
  const { ticket } = await client.request('streams.open', { kind: 'stdio', guest: id, stdin, from: 'now' })
  if (stdin && program.terminal && detachKeys !== '')
    await context.note(`Attached to guest "${name}"; ${detachKeys} leaves it running.`)
  const end = await runSession({
    process: context.process,
    client,
    ticket,
    stdin,
    terminal: program.terminal,
    forwardsSignals: sigProxy,
    detachKeys: keys,
  })
  return await reportOutcome({ context, guest: id, name }, end)
}

const stateWords = {
  created: 'not started',
  paused: 'paused',
  stopping: 'ending',
  exited: 'not running',
} as const
