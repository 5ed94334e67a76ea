// The lines of progress on a terminal: one for the whole, one for each layer, fitted into what room there is.
import stringWidth from 'string-width'
import type { Job, JobProgress } from '../../../core/api/methods.ts'
import { shortId } from '../output/guest-words.ts'
import { printable } from '../output/printable.ts'
import { amountWords, layerWords, phaseWords, rateWords } from './progress-words.ts'

export type Layer = JobProgress['layers'][number]

export interface LineOptions {
  /** The terminal's size; no line is as wide as it, and there is one line less than it has. */
  readonly columns: number
  readonly rows: number
  /** The rate of the whole (without a digest) or of a layer, where it is known. */
  readonly bytesPerSecond: (digest?: string) => number | undefined
}

const stateColumns = 14
const amountColumns = 15
const widestBar = 30
const narrowestBar = 8

/** The lines that tell how far a job is. */
export function progressLines(
  { title, state, progress }: Pick<Job, 'title' | 'state' | 'progress'>,
  options: LineOptions,
): string[] {
  const most = Math.max(1, options.rows - 1)
  const endWords = state === 'done' ? 'complete' : state
  const words = state === 'running' ? phaseWords(progress, options.bytesPerSecond()) : endWords
  const head = `${printable(title)}: ${words}`
  const { shown, rest } = chooseLayers(progress.layers, most - 1)
  const lines = [head, ...shown.map((layer) => layerLine(layer, options)), ...rest]
  return lines.slice(0, most).map((line) => cut(line, options.columns - 1))
}

/** All layers where there is room, else those in which something happens, and a line on the others. */
function chooseLayers(layers: readonly Layer[], most: number): { shown: Layer[]; rest: string[] } {
  if (layers.length <= most) return { shown: [...layers], rest: [] }
  const order = ['active', 'unpacking', 'waiting']
  const rank = ({ state }: Layer) => (order.includes(state) ? order.indexOf(state) : order.length)
  const chosen = new Set([...layers].sort((a, b) => rank(a) - rank(b)).slice(0, Math.max(0, most - 1)))
  const others = layers.filter((layer) => !chosen.has(layer))
  const counts = Map.groupBy(others, ({ state }) => layerWords(state).toLowerCase())
  const words = [...counts].map(([what, { length }]) => `${length} ${what}`).join(', ')
  return { shown: layers.filter((layer) => chosen.has(layer)), rest: [`and ${others.length} more: ${words}`] }
}

/** `ID: STATE [BAR] BYTES RATE LEFT`; where it is narrow, first the bar shrinks, then it goes, then the rate. */
function layerLine(layer: Layer, { columns, bytesPerSecond }: LineOptions): string {
  const { digest, state, bytesDone, bytesTotal } = layer
  const name = `${shortId(digest)}: ${layerWords(state)}`
  const isMoving = state === 'active' || state === 'unpacking'
  if (!isMoving) return name
  const amount = amountWords(bytesDone, bytesTotal)
  const rate = state === 'active' ? rateWords(bytesDone, bytesTotal, bytesPerSecond(digest)) : ''
  const start = name.padEnd(stateColumns + 14)
  const end = [amount.padStart(amountColumns), rate].filter((word) => word !== '').join('  ')
  const barColumns = Math.min(widestBar, columns - 1 - stringWidth(start) - stringWidth(end) - 4)
  if (bytesTotal > 0 && barColumns >= narrowestBar)
    return `${start} ${bar(bytesDone / bytesTotal, barColumns)} ${end}`
  const whole = `${name} ${amount}${rate === '' ? '' : `  ${rate}`}`
  return stringWidth(whole) < columns ? whole : `${name} ${amount}`
}

function bar(share: number, columns: number): string {
  const full = Math.round(Math.min(1, share) * columns)
  const head = full === 0 || full === columns ? '='.repeat(full) : `${'='.repeat(full - 1)}>`
  return `[${head.padEnd(columns)}]`
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
