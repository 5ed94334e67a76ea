// Small steps over a stream of bytes that comes from a client: looking at its beginning, and giving it up while it stalls.

import { cancelled, throwIfCancelled } from '../errors.ts'

/** The first `length` bytes (fewer where the stream is shorter) and the whole stream, them included. */
export async function peek(
  bytes: AsyncIterable<Uint8Array>,
  length: number,
): Promise<{ head: Buffer; all: AsyncIterable<Uint8Array> }> {
  const iterator = bytes[Symbol.asyncIterator]()
  let head = Buffer.alloc(0)
  while (head.length < length) {
    const next = await iterator.next()
    if (next.done === true) break
    head = Buffer.concat([head, next.value])
  }
  async function* all(): AsyncGenerator<Uint8Array, void, void> {
    if (head.length > 0) yield head
    yield* { [Symbol.asyncIterator]: () => iterator }
  }
  return { head: head.subarray(0, length), all: all() }
}

/** Passes bytes on until the signal is aborted, also while none come. Throws `oci.cancelled`. */
export async function* untilAborted(
  bytes: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
  action: string,
): AsyncGenerator<Uint8Array, void, void> {
  if (signal === undefined) return yield* bytes
  throwIfCancelled(signal, action)
  const aborted = Promise.withResolvers<never>()
  // Nobody waits for it where the bytes end first.
  aborted.promise.catch(() => {})
  const abort = () => aborted.reject(cancelled(action, signal.reason))
  signal.addEventListener('abort', abort, { once: true })
  const iterator = bytes[Symbol.asyncIterator]()
  try {
    for (;;) {
      const next = await Promise.race([iterator.next(), aborted.promise])
      if (next.done === true) return
      yield next.value
    }
  } finally {
    signal.removeEventListener('abort', abort)
    // Careful: not awaited; it would wait for the bytes that do not come. The source is closed by whoever opened it.
    iterator.return?.().catch(() => {})
  }
}
