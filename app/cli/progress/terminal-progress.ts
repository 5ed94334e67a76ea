// Progress on a terminal, drawn over what was drawn before, whatever becomes of the terminal's size in between.
import type { WriteStream } from 'node:tty'
import stringWidth from 'string-width'
import type { Job } from '../../../core/api/methods.ts'
import { PhaseRate } from './phase-rate.ts'
import { type Layer, progressLines } from './progress-lines.ts'
import { rateLimitWords } from './progress-words.ts'
import { TransferRate } from './transfer-rate.ts'

export type ProgressTerminal = Pick<WriteStream, 'columns' | 'rows' | 'write' | 'on' | 'off'>

/** Rates fall and times grow also where no news comes. */
const refreshMs = 500

export class TerminalProgress {
  readonly #terminal: ProgressTerminal
  readonly #now: () => number
  readonly #timer: NodeJS.Timeout
  readonly #redraw = () => this.#draw()
  readonly #wholeRate = new PhaseRate()
  readonly #layerRates = new Map<string, TransferRate>()
  /** Columns of each line that stands on the terminal. */
  #drawnColumns: readonly number[] = []
  #job: Job | undefined
  /** The download's, also in the phases after it. */
  #layers: readonly Layer[] = []

  constructor(terminal: ProgressTerminal, now: () => number) {
    this.#terminal = terminal
    this.#now = now
    this.#timer = setInterval(this.#redraw, refreshMs).unref()
    terminal.on('resize', this.#redraw)
  }

  show(job: Job): void {
    const nowMs = this.#now()
    const { layers } = job.progress
    this.#wholeRate.add(nowMs, job.progress)
    for (const layer of layers) if (layer.state === 'active') this.#rateOf(layer).add(nowMs, layer.bytesDone)
    if (layers.length > 0) this.#layers = layers
    this.#job = job
    this.#draw()
    const limit = job.state === 'done' ? rateLimitWords(job.progress) : undefined
    if (limit === undefined) return
    this.#terminal.write(`${limit}\n`)
    this.#drawnColumns = []
  }

  /** Leaves the last state standing, and the cursor under it. */
  async end(): Promise<void> {
    clearInterval(this.#timer)
    this.#terminal.off('resize', this.#redraw)
  }

  #draw(): void {
    if (this.#job === undefined) return
    const columns = this.#terminal.columns || 80
    const lines = progressLines(
      { ...this.#job, progress: { ...this.#job.progress, layers: this.#layers } },
      {
        columns,
        rows: this.#terminal.rows || 24,
        bytesPerSecond: (digest) =>
          (digest === undefined ? this.#wholeRate : this.#layerRates.get(digest))?.bytesPerSecond(
            this.#now(),
          ),
      },
    )
    // A terminal that became narrower has broken our lines: what was one row may be several now.
    const rows = this.#drawnColumns.reduce((sum, width) => sum + Math.max(1, Math.ceil(width / columns)), 0)
    const up = rows === 0 ? '' : `\x1b[${rows}A`
    this.#terminal.write(`\r${up}${lines.map((line) => `${line}\x1b[K\n`).join('')}\x1b[J`)
    this.#drawnColumns = lines.map((line) => stringWidth(line))
  }

  #rateOf({ digest }: Layer): TransferRate {
    const rate = this.#layerRates.get(digest) ?? new TransferRate()
    this.#layerRates.set(digest, rate)
    return rate
  }
}
