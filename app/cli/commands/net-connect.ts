// `bulkhead net connect`: a TCP port of a guest, without publishing it.
import type { Command } from 'commander'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { UsageError } from '../failure.ts'
import { connectPort } from '../network/connect-port.ts'

export function configure(command: Command): void {
  command
    .argument('<guest>', 'a name, an id, or the beginning of an id')
    .argument('<port>', 'a TCP port of the guest')
  describeExamples(
    command,
    [
      ['net connect web 80', 'type to it'],
      ["printf 'GET / HTTP/1.0\\r\\n\\r\\n' | bulkhead net connect web 80", 'ask once'],
      ["ssh -o 'ProxyCommand bulkhead net connect %h 22' root@box", 'ssh into the guest "box"'],
    ],
    'The status is 0 when both sides have ended the connection, 1 if the guest refused or broke it.',
  )
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const [guest = '', word = ''] = command.args
  const port = /^\d{1,5}$/.test(word) ? Number(word) : 0
  if (port < 1 || port > 65535)
    throw new UsageError(`Cannot connect to port "${word}": ports go from 1 to 65535`, {
      hint: 'Only TCP can be connected to; publish a UDP port to reach it.',
    })
  const client = await context.connect()
  await context.interruptible(async (signal) => {
    const { ticket } = await client.request('network.connect', { guest, port }, { signal })
    await connectPort(context.process, client, ticket, signal)
  })
  return 0
}
