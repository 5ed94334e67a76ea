// A capture on its way from the core host to its target, until it ends by itself, the user stops it, or it breaks.
import type { CoreClient } from '../../../core/client/core-client.ts'
import type { CoreStream } from '../../../core/client/core-stream.ts'
import { CliError } from '../failure.ts'
import { CaptureBlocks } from './capture-blocks.ts'
import type { CaptureTarget } from './capture-target.ts'

/** How long the rest of a capture that was stopped may take. */
const restMs = 2_000

export interface Recorded {
  readonly frames: number
  /** Frames that the capture had no room for. */
  readonly dropped: number
  /** Why it ended before its end. */
  readonly failure: unknown
}

/** Records the capture of `ticket` until it is over or `stop` is aborted; everything that came is written then. */
export async function recordCapture(
  client: CoreClient,
  ticket: string,
  target: CaptureTarget,
  stop: AbortSignal,
): Promise<Recorded> {
  const blocks = new CaptureBlocks()
  const broken = Promise.withResolvers<never>()
  broken.promise.catch(() => {})
  let writing: Promise<void> = Promise.resolve()
  let stream: CoreStream | undefined
  const take = (bytes: Uint8Array, end: number) => {
    writing = writing.then(async () => {
      const whole = cut(blocks, bytes)
      if (whole.length > 0) await target.write(whole)
      stream?.acknowledge(1, end)
    })
    writing.catch(broken.reject)
  }
  stream = await client.openStream(ticket, {
    data: (_output, bytes, offset) => take(bytes, offset + bytes.length),
  })
  using rest = stopping(stream, stop)
  const failure = await Promise.race([stream.finished, broken.promise]).then(
    () => undefined,
    (error: unknown) => error,
  )
  rest[Symbol.dispose]()
  stream.close()
  await writing.catch(() => {})
  return { frames: blocks.frames, dropped: blocks.dropped, failure }
}

function cut(blocks: CaptureBlocks, bytes: Uint8Array): Uint8Array {
  try {
    return blocks.push(bytes)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw new CliError('cli.output', `Cannot go on with the capture: ${error.message}`, {
      hint: 'This is a defect of Bulkhead: please report it.',
      cause: error,
    })
  }
}

/** Asks for the end of the capture when `stop` is aborted; a core host that does not answer is left. */
function stopping(stream: CoreStream, stop: AbortSignal): Disposable {
  let timer: NodeJS.Timeout | undefined
  const ask = () => {
    void stream.end()
    timer = setTimeout(() => stream.close(), restMs)
  }
  if (stop.aborted) ask()
  else stop.addEventListener('abort', ask, { once: true })
  return {
    [Symbol.dispose]: () => {
      clearTimeout(timer)
      stop.removeEventListener('abort', ask)
    },
  }
}
