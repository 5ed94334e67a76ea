// The progress of a pull or an import: a line for each layer, redrawn in place, on a terminal only.
import type { WriteStream } from 'node:tty'
import stringWidth from 'string-width'
import type { Job } from '../../../core/api/methods.ts'
import { shortId } from '../output/guest-words.ts'
import { printable } from '../output/printable.ts'
import { byteSize } from '../output/quantities.ts'

const barColumns = 24

export class JobProgress implements Disposable {
  readonly #terminal: WriteStream | undefined
  #drawnLines = 0

  /** Draws on `stream` unless that is no terminal or the user wants quiet. */
  constructor(stream: WriteStream, isQuiet: boolean) {
    this.#terminal = stream.isTTY && !isQuiet ? stream : undefined
  }

  show(job: Job): void {
    const terminal = this.#terminal
    if (terminal === undefined) return
    const mostLines = Math.max(1, (terminal.rows || 24) - 1)
    const lines = progressLines(job, terminal.columns || 80).slice(-mostLines)
    this.#draw(terminal, lines)
  }

  /** Leaves the last state standing, and the cursor under it. */
  [Symbol.dispose](): void {
    this.#drawnLines = 0
  }

  #draw(terminal: WriteStream, lines: readonly string[]): void {
    const up = this.#drawnLines === 0 ? '' : `\x1b[${this.#drawnLines}A`
    terminal.write(`${up}${lines.map((line) => `\x1b[2K${line}\n`).join('')}\x1b[J`)
    this.#drawnLines = lines.length
  }
}

/** The lines that tell how far a job is, none wider than `columns`. */
export function progressLines({ title, progress }: Job, columns: number): string[] {
  const { phase, bytesDone, bytesTotal, layers } = progress
  const head = `${title}: ${phase}${amount(bytesDone, bytesTotal)}`
  const rows = layers.map(
    (layer) =>
      `  ${shortId(layer.digest)} ${bar(layer.bytesDone, layer.bytesTotal)} ${layer.state}${amount(layer.bytesDone, layer.bytesTotal)}`,
  )
  return [head, ...rows].map((line) => cut(printable(line), columns - 1))
}

function amount(done: number, total: number): string {
  if (total > 0) return ` ${byteSize(done)} of ${byteSize(total)}`
  return done > 0 ? ` ${byteSize(done)}` : ''
}

function bar(done: number, total: number): string {
  const share = total > 0 ? Math.min(1, done / total) : 0
  const full = Math.round(share * barColumns)
  return `[${'='.repeat(full)}${' '.repeat(barColumns - full)}]`
}

function cut(line: string, columns: number): string {
  if (stringWidth(line) <= columns) return line
  let kept = ''
  for (const character of line) {
    if (stringWidth(kept + character) > columns - 1) break
    kept += character
  }
  return `${kept}…`
}
