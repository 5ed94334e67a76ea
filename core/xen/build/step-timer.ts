// Records how long each step of a build took.

export interface StepTiming {
  readonly step: string
  readonly ms: number
}

export class StepTimer {
  readonly timings: StepTiming[] = []
  #start = performance.now()

  /** Ends the step that began when the last one ended. */
  done(step: string): void {
    const now = performance.now()
    this.timings.push({ step, ms: Math.round((now - this.#start) * 1000) / 1000 })
    this.#start = now
  }
}
