// A watch on a part of xenstore, as a sequence of sets of changed paths. Events that come while the reader is
// busy are merged, and too many different ones are replaced by the watch's own path: a guest that writes without
// end (XSA-349's class) costs a bounded amount of memory and one look per turn.

/** What changed since the last look; the watched path itself means "anything below". */
export type ChangedPaths = ReadonlySet<string>

const MAX_PENDING_PATHS = 256

export class Watch implements AsyncIterable<ChangedPaths>, AsyncDisposable {
  readonly path: string
  readonly token: string
  readonly #stop: () => Promise<void>
  #pending = new Set<string>()
  #wake: (() => void) | undefined
  #end: { readonly error: unknown } | undefined

  constructor(path: string, token: string, stop: () => Promise<void>) {
    this.path = path
    this.token = token
    this.#stop = stop
  }

  /** Called by the client for each event. */
  notify(path: string): void {
    if (this.#end !== undefined) return
    if (this.#pending.size >= MAX_PENDING_PATHS && !this.#pending.has(path)) {
      this.#pending = new Set([this.path])
    } else {
      this.#pending.add(path)
    }
    this.#wake?.()
  }

  /** Called by the client: ends the sequence, with an error or quietly. */
  finish(error?: unknown): void {
    this.#end ??= { error }
    this.#wake?.()
  }

  /**
   * The first set comes at once (xenstored fires every new watch); each next one when something changed. For
   * one reader. Ends at `close()`; throws when the connection is lost or the watch's signal aborts.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<ChangedPaths, void, undefined> {
    for (;;) {
      if (this.#end !== undefined) {
        if (this.#end.error !== undefined) throw this.#end.error
        return
      }
      if (this.#pending.size === 0) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
        this.#wake = undefined
        continue
      }
      const changed = this.#pending
      this.#pending = new Set()
      yield changed
    }
  }

  /** Ends the watch. */
  async close(): Promise<void> {
    if (this.#end !== undefined) return
    this.finish()
    await this.#stop()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
