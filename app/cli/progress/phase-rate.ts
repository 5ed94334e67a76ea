// The rate of a job as a whole: of the phase that it is in, and of what was brought in it. Bytes of another phase, and those
// that were there before, say nothing of it.
import type { JobProgress } from '../../../core/api/methods.ts'
import { TransferRate } from './transfer-rate.ts'

export class PhaseRate {
  #phase: string | undefined
  #rate = new TransferRate()

  add(nowMs: number, progress: JobProgress): void {
    if (progress.phase !== this.#phase) this.#rate = new TransferRate()
    this.#phase = progress.phase
    this.#rate.add(nowMs, broughtBytes(progress))
  }

  /** Undefined until there is enough to tell. */
  bytesPerSecond(nowMs: number): number | undefined {
    return this.#rate.bytesPerSecond(nowMs)
  }
}

/** Layers that the store had are found one by one, and count as brought; what is unpacked of them is work. */
function broughtBytes({ phase, bytesDone, layers }: JobProgress): number {
  if (phase === 'unpack') return bytesDone
  const present = layers.filter(({ state }) => state === 'present')
  return bytesDone - present.reduce((sum, layer) => sum + layer.bytesDone, 0)
}
