// This process's own terminal: raw while a guest's terminal is shown on it, and its size.
import { spawnSync } from 'node:child_process'

export interface TerminalSize {
  readonly rows: number
  readonly columns: number
}

/** Passes every key on as it is until it is disposed; nothing to do where stdin is no terminal. */
export function rawTerminal(process: NodeJS.Process): Disposable {
  const { stdin } = process
  if (!stdin.isTTY) return { [Symbol.dispose]: () => {} }
  const restore = () => void stdin.setRawMode(false)
  stdin.setRawMode(true)
  // libuv's raw mode (src/unix/tty.c) makes CR LF of every LF, which the guest's terminal has done already where it is
  // wanted; a program that moves the cursor down by LF would find it at the left edge.
  spawnSync('stty', ['-opost'], { stdio: ['inherit', 'ignore', 'ignore'] })
  process.on('exit', restore)
  return {
    [Symbol.dispose]: () => {
      process.off('exit', restore)
      restore()
    },
  }
}

/** The size of the terminal that shows our output, else what COLUMNS and LINES say, else 80 × 24. */
export function terminalSize({ stdout, stderr, env }: NodeJS.Process): TerminalSize {
  const shown = [stdout, stderr].find((stream) => stream.isTTY && stream.rows > 0 && stream.columns > 0)
  if (shown !== undefined) return { rows: shown.rows, columns: shown.columns }
  return { rows: positive(env.LINES) ?? 24, columns: positive(env.COLUMNS) ?? 80 }
}

function positive(text: string | undefined): number | undefined {
  const number = Number(text)
  return Number.isInteger(number) && number > 0 && number <= 65535 ? number : undefined
}
