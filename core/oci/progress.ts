// What pulls, imports and builds report while they run (the same shape as `jobProgress` of the control API), and the
// valve that keeps reports at ten a second.

export const PROGRESS_PHASES = [
  'resolve',
  'download',
  'receive',
  'verify',
  'unpack',
  'merge',
  'write',
  'sync',
  'send',
] as const
export type ProgressPhase = (typeof PROGRESS_PHASES)[number]

export const LAYER_STATES = ['waiting', 'active', 'unpacking', 'done', 'present'] as const

export interface LayerProgress {
  readonly digest: string
  readonly bytesDone: number
  readonly bytesTotal: number
  readonly state: (typeof LAYER_STATES)[number]
}

/** What a registry says about its limit of pulls. */
export interface RateLimit {
  readonly limit: number
  readonly remaining: number
  readonly windowSeconds?: number | undefined
}

export interface ImageProgress {
  readonly phase: ProgressPhase
  readonly bytesDone: number
  /** 0 while it is not known. */
  readonly bytesTotal: number
  readonly layers: LayerProgress[]
  readonly rateLimit?: RateLimit | undefined
}

export type OnProgress = (progress: ImageProgress) => void

const INTERVAL_MS = 100

/**
 * Passes at most ten reports a second on, always the first, every change of phase, and in the end the last one.
 * Dispose it when the work is over: what was held back is then reported at once.
 */
export class ProgressValve implements Disposable {
  readonly #deliver: OnProgress
  #held: ImageProgress | undefined
  #timer: NodeJS.Timeout | undefined
  #phase: ProgressPhase | undefined

  constructor(deliver: OnProgress) {
    this.#deliver = deliver
  }

  readonly report = (progress: ImageProgress): void => {
    this.#held = progress
    if (progress.phase !== this.#phase) this.#flush()
    else this.#timer ??= setTimeout(() => this.#flush(), INTERVAL_MS)
  };

  [Symbol.dispose](): void {
    this.#flush()
  }

  #flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const progress = this.#held
    if (progress === undefined) return
    this.#held = undefined
    this.#phase = progress.phase
    this.#deliver(progress)
  }
}
