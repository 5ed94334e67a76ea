// Lines on stdout, one for each of several things, safe for terminals.
import type { CliContext } from '../cli-context.ts'
import { printable } from './printable.ts'

export async function printLines(context: CliContext, lines: readonly string[]): Promise<void> {
  await context.print(lines.map((line) => `${printable(line)}\n`).join(''))
}
