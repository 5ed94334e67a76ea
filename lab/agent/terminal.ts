// Programs on a terminal. Node cannot open one, so script(1) of bsdutils does, and stty(1) tells it its size.

import { type ChildProcess, execFile } from 'node:child_process'
import { readFileSync, readlinkSync } from 'node:fs'
import type { TerminalSize } from './protocol.ts'

/** The command line that runs `argv` on a terminal of its own. */
export function onTerminal(argv: readonly string[], size: TerminalSize): string[] {
  const quoted = argv.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')
  const command = `stty rows ${Number(size.rows)} cols ${Number(size.columns)}; exec ${quoted}`
  return ['script', '--quiet', '--return', '--flush', '--command', command, '/dev/null']
}

/** Sets the size of the terminal that `script` has opened; `payload` is rows u16, columns u16, little-endian. */
export function resizeTerminal(script: ChildProcess, payload: Buffer): void {
  if (payload.length < 4 || script.pid === undefined) return
  try {
    const children = readFileSync(`/proc/${script.pid}/task/${script.pid}/children`, 'utf8').trim().split(' ')
    const terminal = readlinkSync(`/proc/${children[0]}/fd/0`)
    const [rows, columns] = [payload.readUInt16LE(0), payload.readUInt16LE(2)]
    execFile('stty', ['-F', terminal, 'rows', String(rows), 'cols', String(columns)], () => {})
  } catch {
    // The program ended in the meantime.
  }
}
