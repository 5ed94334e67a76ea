// Tables as `docker` prints them: a heading in capitals, columns three spaces apart, nothing behind the last one.
import stringWidth from 'string-width'
import { printable } from './printable.ts'

const gap = 3

/** A table as text with a line end after each row. Cells are made safe for terminals. */
export function renderTable(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [heading, ...rows].map((row) => row.map(printable))
  const widths = heading.map((_, column) => Math.max(...cells.map((row) => stringWidth(row[column] ?? ''))))
  const lines = cells.map((row) =>
    row.map((cell, column) => cell + ' '.repeat((widths[column] ?? 0) - stringWidth(cell) + gap)).join(''),
  )
  return lines.map((line) => `${line.trimEnd()}\n`).join('')
}
