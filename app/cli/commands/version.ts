// `bulkhead version`: of this command, and of the core host where one answers.
import type { Command } from 'commander'
import { BulkheadError } from '../../../core/errors.ts'
import project from '../../../package.json' with { type: 'json' }
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { printable } from '../output/printable.ts'

export function configure(command: Command): void {
  command.option('--json', 'print JSON', false)
  describeExamples(command, [['version', 'useful in a report']])
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const core = await context.connect().then(
    (client) => ({ version: client.version, label: client.target.label }),
    (error: unknown) => {
      if (error instanceof BulkheadError) return error
      throw error
    },
  )
  const versions = {
    client: project.version,
    core: 'version' in core ? core.version : null,
    node: context.process.version,
  }
  if (command.opts<{ json: boolean }>().json) await context.printJson(versions)
  else {
    const host = 'version' in core ? `${core.version} (${core.label})` : `none: ${core.message}`
    await context.print(
      `Bulkhead:  ${versions.client}\nCore host: ${printable(host)}\nNode:      ${versions.node}\n`,
    )
  }
  return 0
}
