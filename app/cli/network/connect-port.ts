// A guest's TCP port at this process's stdin and stdout. Each direction ends for itself, as TCP has it: the end of
// stdin is told to the guest, and the guest's end closes stdout while stdin goes on.
import { closeSync } from 'node:fs'
import type { CoreClient } from '../../../core/client/core-client.ts'
import type { CoreStream } from '../../../core/client/core-stream.ts'
import { OutputPump } from '../attach/output-pump.ts'

/** Resolves when both directions have ended. Rejects with what broke the connection or our output, or with the signal's reason. */
export async function connectPort(
  process: NodeJS.Process,
  client: CoreClient,
  ticket: string,
  signal: AbortSignal,
): Promise<void> {
  const pump = new OutputPump(process.stdout, process.stderr)
  const left = Promise.withResolvers<never>()
  const leave = () => left.reject(signal.reason)
  let stream: CoreStream | undefined
  const guestEnded = () => {
    // Who types at a terminal is not asked to end what nobody answers any more.
    if (process.stdin.isTTY) void stream?.end()
    else if (!process.stdout.isTTY) void pump.flushed().then(() => closeOutput(process))
  }
  stream = await client.openStream(ticket, { ...pump.reader, end: guestEnded }, { signal })
  pump.acknowledgeTo(stream)
  if (signal.aborted) leave()
  else signal.addEventListener('abort', leave, { once: true })
  const broken = pump.broken.then((error) => Promise.reject(error))
  try {
    void carryInput(process.stdin, stream)
    await Promise.race([stream.finished, left.promise, broken])
    await Promise.race([pump.flushed(), left.promise, broken])
  } finally {
    signal.removeEventListener('abort', leave)
    stream.close()
  }
}

/** Carries our stdin at the guest's speed, and its end. */
async function carryInput(stdin: NodeJS.ReadStream, stream: CoreStream): Promise<void> {
  try {
    for await (const chunk of stdin as AsyncIterable<Buffer>) if (!(await stream.write(chunk))) return
  } catch {
    // A stdin that cannot be read has ended; a stream that broke says so where its end is waited for.
  }
  await stream.end()
}

/** Lets whoever reads our output see its end. `end` does that for sockets; a pipe's descriptor has to be closed. */
function closeOutput(process: NodeJS.Process): void {
  process.stdout.end(() => {
    try {
      closeSync(1)
    } catch {
      // It was closed before.
    }
  })
}
