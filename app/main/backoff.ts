// How long to wait before the next try to connect.

const delaysMs = [500, 1000, 2000, 4000, 8000, 15_000] as const

/** Delay after the `failures`-th failure in a row (1, 2, …), in milliseconds. */
export function retryDelayMs(failures: number): number {
  return delaysMs[Math.min(Math.max(failures, 1), delaysMs.length) - 1] ?? 15_000
}
