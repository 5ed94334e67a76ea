// `bulkhead host check`: whether guests can run, and what to do where they cannot.
import { styleText } from 'node:util'
import type { Command } from 'commander'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { printable } from '../output/printable.ts'

export function configure(command: Command): void {
  command.option('--json', 'print JSON', false)
  describeExamples(command, [['host check', 'each check with what was found; status 1 if one failed']])
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const client = await context.connect()
  const checks = await client.request('host.check', {})
  if (command.opts<{ json: boolean }>().json) await context.printJson(checks)
  else {
    // Colours only on a terminal and without NO_COLOR: styleText looks at both.
    const paint = (format: 'green' | 'red', text: string) =>
      styleText(format, text, { stream: context.process.stdout, validateStream: true })
    for (const { passed, title, detail, fix } of checks) {
      const mark = passed ? paint('green', 'ok  ') : paint('red', 'FAIL')
      await context.print(`${mark} ${printable(title)}: ${printable(detail)}\n`)
      if (!passed && fix !== undefined) await context.print(`     ${printable(fix)}\n`)
    }
  }
  return checks.every(({ passed }) => passed) ? 0 : 1
}
