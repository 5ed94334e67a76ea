// Where each layer of an image stands while it is brought into the store.

import type { Descriptor } from './manifest.ts'
import type { ImageProgress, LayerProgress } from './progress.ts'

/** Adds up what the layers report. */
export class LayerTracker {
  readonly #states = new Map<string, LayerProgress>()
  readonly #report: (progress: Omit<ImageProgress, 'phase'>) => void
  readonly #totalBytes: number

  constructor(layers: readonly Descriptor[], report: (progress: Omit<ImageProgress, 'phase'>) => void) {
    for (const { digest, size } of layers) {
      this.#states.set(digest, { digest, bytesDone: 0, bytesTotal: size, state: 'waiting' })
    }
    this.#totalBytes = this.#states.values().reduce((sum, { bytesTotal }) => sum + bytesTotal, 0)
    this.#report = report
  }

  update({ digest, size }: Descriptor, bytesDone: number, state: LayerProgress['state']): void {
    this.#states.set(digest, { digest, bytesDone, bytesTotal: size, state })
    const layers = [...this.#states.values()]
    this.#report({
      bytesDone: layers.reduce((sum, layer) => sum + layer.bytesDone, 0),
      bytesTotal: this.#totalBytes,
      layers,
    })
  }
}
