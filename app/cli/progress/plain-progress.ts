// `--progress plain`: lines that stay, for logs. A line for each new state of a layer, and the whole now and then.
import type { Job } from '../../../core/api/methods.ts'
import { shortId } from '../output/guest-words.ts'
import { printable } from '../output/printable.ts'
import { byteSize } from '../output/quantities.ts'
import { PhaseRate } from './phase-rate.ts'
import { layerWords, phaseWords, rateLimitWords } from './progress-words.ts'

const intervalMs = 5000

export class PlainProgress {
  readonly #note: (line: string) => void
  readonly #now: () => number
  readonly #states = new Map<string, string>()
  readonly #rate = new PhaseRate()
  #phase = ''
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

  #sayWhole(title: string, progress: Job['progress']): void {
    const { phase } = progress
    const nowMs = this.#now()
    this.#rate.add(nowMs, progress)
    if (phase === this.#phase && nowMs < this.#saidAtMs + intervalMs) return
    this.#phase = phase
    this.#saidAtMs = nowMs
    this.#note(`${printable(title)}: ${phaseWords(progress, this.#rate.bytesPerSecond(nowMs))}`)
  }
}
