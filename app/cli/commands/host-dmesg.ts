// `bulkhead host dmesg`: the hypervisor's messages.
import type { Command } from 'commander'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { printable } from '../output/printable.ts'

export function configure(command: Command): void {
  command.option('--json', 'print JSON', false)
  describeExamples(command, [['host dmesg | tail', 'what Xen said last']])
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const client = await context.connect()
  const { text } = await client.request('host.dmesg', {})
  if (command.opts<{ json: boolean }>().json) await context.printJson({ text })
  else await context.print(text.split('\n').map(printable).join('\n'))
  return 0
}
