// What a bench may be told.

export interface BenchOptions {
  /** One short round, to see that it runs: its figures say little. */
  readonly isShort: boolean
}
