// Several things at the same time, but not all: downloads of the layers of an image.

/** Runs a task for each item, so many at a time. The first failure aborts the others and is thrown when all ended. */
export async function inParallel<T>(
  items: readonly T[],
  parallel: number,
  signal: AbortSignal | undefined,
  task: (item: T, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const failure = new AbortController()
  const groupSignal = signal === undefined ? failure.signal : AbortSignal.any([signal, failure.signal])
  const queue = items.values()
  let firstError: unknown
  const worker = async () => {
    for (const item of queue) {
      if (groupSignal.aborted) return
      try {
        await task(item, groupSignal)
      } catch (error) {
        firstError ??= error
        failure.abort(error)
      }
    }
  }
  await Promise.all(Array.from({ length: parallel }, worker))
  if (firstError !== undefined) throw firstError
}
