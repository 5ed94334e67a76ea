// How fast bytes come, over the last few seconds: steady enough to read, and soon at nothing where nothing comes.

const windowMs = 4000
/** Less tells of chance. */
const shortestSpanMs = 400

export class TransferRate {
  #samples: { readonly atMs: number; readonly bytes: number }[] = []

  /** `bytes` had come by `atMs`. Fewer than before begin anew. */
  add(atMs: number, bytes: number): void {
    const last = this.#samples.at(-1)
    if (last !== undefined && bytes < last.bytes) this.#samples = []
    this.#samples.push({ atMs, bytes })
    while ((this.#samples[1]?.atMs ?? atMs) < atMs - windowMs) this.#samples.shift()
  }

  /** Undefined until there is enough to tell. */
  bytesPerSecond(nowMs: number): number | undefined {
    const [first] = this.#samples
    const last = this.#samples.at(-1)
    if (first === undefined || last === undefined) return undefined
    const spanMs = nowMs - first.atMs
    return spanMs < shortestSpanMs ? undefined : ((last.bytes - first.bytes) * 1000) / spanMs
  }
}
