// Examples in a verb's help: command lines as one would type them, each with what it does.
import type { Command } from 'commander'

/** Adds examples, each a command line with what it does, and further words to a verb's help. */
export function describeExamples(
  command: Command,
  examples: readonly [line: string, what: string][],
  more = '',
): void {
  const width = Math.max(...examples.map(([line]) => line.length))
  const lines = examples.map(([line, what]) => `  bulkhead ${line.padEnd(width)}  ${what}`)
  command.addHelpText('after', `${more === '' ? '' : `\n${more}\n`}\nExamples:\n${lines.join('\n')}`)
}
