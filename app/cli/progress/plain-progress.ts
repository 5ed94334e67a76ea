// `--progress plain`: lines that stay, for logs. A line for each new state of a layer, and the whole now and then.
import type { Job } from '../../../core/api/methods.ts'
import { shortId } from '../output/guest-words.ts'
import { printable } from '../output/printable.ts'
import { byteSize } from '../output/quantities.ts'
import { amountWords, layerWords, phaseWords, rateLimitWords, rateWords } from './progress-words.ts'
import { TransferRate } from './transfer-rate.ts'

const intervalMs = 5000

export class PlainProgress {
  readonly #note: (line: string) => void
  readonly #now: () => number
  readonly #states = new Map<string, string>()
  #phase = ''
  #rate = new TransferRate()
  #saidAtMs = 0

  constructor(note: (line: string) => void, now: () => number) {
    this.#note = note
    this.#now = now
  }

  show({ title, state, progress }: Job): void {
    for (const layer of progress.layers) {
      if (this.#states.get(layer.digest) === layer.state) continue
      this.#states.set(layer.digest, layer.state)
      const size = layer.bytesTotal > 0 ? ` ${byteSize(layer.bytesTotal)}` : ''
      this.#note(`${shortId(layer.digest)}: ${layerWords(layer.state)}${size}`)
    }
    if (state === 'running') this.#sayWhole(title, progress)
    const limit = state === 'done' ? rateLimitWords(progress) : undefined
    if (limit !== undefined) this.#note(limit)
  }

  async end(): Promise<void> {}

  #sayWhole(title: string, { phase, bytesDone, bytesTotal }: Job['progress']): void {
    const nowMs = this.#now()
    if (phase !== this.#phase) this.#rate = new TransferRate()
    this.#rate.add(nowMs, bytesDone)
    if (phase === this.#phase && nowMs < this.#saidAtMs + intervalMs) return
    this.#phase = phase
    this.#saidAtMs = nowMs
    const words = [
      amountWords(bytesDone, bytesTotal),
      rateWords(bytesDone, bytesTotal, this.#rate.bytesPerSecond(nowMs)),
    ]
    this.#note(
      [`${printable(title)}: ${phaseWords(phase)}`, ...words.filter((word) => word !== '')].join(' '),
    )
  }
}
