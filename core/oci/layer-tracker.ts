// Where each layer of an image stands while it is brought into the store: its bytes come, and are unpacked meanwhile.

import type { Descriptor } from './manifest.ts'
import type { ImageProgress, LayerProgress, OnProgress, ProgressPhase } from './progress.ts'

interface LayerState {
  readonly digest: string
  readonly sizeBytes: number
  receivedBytes: number
  unpackedBytes: number
  state: LayerProgress['state']
}

type LayerId = Pick<Descriptor, 'digest'>

/**
 * Adds up what the layers report. While bytes come the phase is the one given, and the bytes are those that came; from
 * when all are here and some have still to be unpacked it is `unpack`, and the bytes are those that were unpacked. Within
 * a phase they never become fewer: what starts over stands still until it is further than it was.
 */
export class LayerTracker {
  readonly #layers = new Map<string, LayerState>()
  readonly #phase: ProgressPhase
  readonly #report: OnProgress
  /** Stays: nothing comes any more. */
  #isUnpacking = false

  constructor(
    layers: readonly Pick<Descriptor, 'digest' | 'size'>[],
    phase: ProgressPhase,
    report: OnProgress,
  ) {
    for (const { digest, size } of layers) {
      this.#layers.set(digest, {
        digest,
        sizeBytes: size,
        receivedBytes: 0,
        unpackedBytes: 0,
        state: 'waiting',
      })
    }
    this.#phase = phase
    this.#report = report
  }

  /** The layer was there before. Without its segment the build has still to unpack it, and goes on with the count. */
  present(layer: LayerId, { isUnpacked }: { readonly isUnpacked: boolean }): void {
    this.#change(layer, (state) => {
      state.receivedBytes = state.sizeBytes
      state.unpackedBytes = isUnpacked ? state.sizeBytes : 0
      state.state = 'present'
    })
  }

  /** So many bytes of the layer are here. */
  received(layer: LayerId, receivedBytes: number): void {
    this.#change(layer, (state) => {
      if (!isComing(state)) return
      state.receivedBytes = Math.max(state.receivedBytes, receivedBytes)
      state.state = 'active'
    })
  }

  /** The layer is here as a whole. */
  brought(layer: LayerId): void {
    this.#change(layer, (state) => {
      state.receivedBytes = state.sizeBytes
      state.state = 'unpacking'
    })
  }

  /** So many of the layer's bytes have been unpacked. */
  unpacked(layer: LayerId, unpackedBytes: number): void {
    this.#change(layer, (state) => {
      state.unpackedBytes = Math.max(state.unpackedBytes, unpackedBytes)
    })
  }

  /** The layer is here and unpacked. */
  done(layer: LayerId): void {
    this.#change(layer, (state) => {
      state.receivedBytes = state.sizeBytes
      state.unpackedBytes = state.sizeBytes
      state.state = 'done'
    })
  }

  #change({ digest }: LayerId, change: (state: LayerState) => void): void {
    const state = this.#layers.get(digest)
    if (state === undefined) return
    change(state)
    this.#report(this.#progress())
  }

  #progress(): ImageProgress {
    const states = [...this.#layers.values()]
    this.#isUnpacking ||= !states.some(isComing) && states.some(({ state }) => state === 'unpacking')
    const bytes = states.map((state) => (this.#isUnpacking ? state.unpackedBytes : state.receivedBytes))
    return {
      phase: this.#isUnpacking ? 'unpack' : this.#phase,
      bytesDone: sum(bytes),
      bytesTotal: sum(states.map(({ sizeBytes }) => sizeBytes)),
      layers: states.map(toProgress),
    }
  }
}

function isComing({ state }: LayerState): boolean {
  return state === 'waiting' || state === 'active'
}

function toProgress({ digest, sizeBytes, receivedBytes, unpackedBytes, state }: LayerState): LayerProgress {
  return {
    digest,
    bytesDone: state === 'unpacking' ? unpackedBytes : receivedBytes,
    bytesTotal: sizeBytes,
    state,
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
