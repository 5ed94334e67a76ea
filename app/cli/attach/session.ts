// A guest's program at this process's stdin, stdout and stderr, from the moment that its stream is open until it
// ends, the user leaves, or nobody reads the output any more.
import type { ExitRecord } from '../../../core/api/methods.ts'
import type { CoreClient } from '../../../core/client/core-client.ts'
import type { CoreStream } from '../../../core/client/core-stream.ts'
import { DetachScanner } from './detach-keys.ts'
import { forwardSignals } from './forwarded-signals.ts'
import { OutputPump } from './output-pump.ts'
import { rawTerminal, terminalSize } from './terminal-mode.ts'

export interface SessionOptions {
  readonly process: NodeJS.Process
  readonly client: CoreClient
  readonly ticket: string
  /** Our stdin goes to the program. */
  readonly stdin: boolean
  /** The other end is a terminal: raw mode and resizing instead of SIGWINCH. */
  readonly terminal: boolean
  /** Signals that we get go to the program. */
  readonly forwardsSignals: boolean
  readonly detachKeys: readonly number[]
}

export type SessionEnd =
  /** `exit` is missing where the stream has none to tell. */
  | { readonly how: 'ended'; readonly exit: ExitRecord | undefined }
  | { readonly how: 'detached' }
  | { readonly how: 'forced' }
  | { readonly how: 'output-broken'; readonly error: Error }

/**
 * Runs a session. `whenAttached` runs when the stream is open and before anything is waited for: it starts the
 * program, so that not one byte of it is missed. Rejects with what `whenAttached` or the stream rejects with.
 */
export async function runSession(
  options: SessionOptions,
  whenAttached: () => Promise<unknown> = async () => {},
): Promise<SessionEnd> {
  const { process, client, ticket, stdin, terminal, forwardsSignals } = options
  const pump = new OutputPump(process.stdout, process.stderr)
  const leave = Promise.withResolvers<SessionEnd>()
  await using stack = new AsyncDisposableStack()
  const stream = stack.use(await client.openStream(ticket, pump.reader))
  pump.acknowledgeTo(stream)
  const resize = () => {
    const { rows, columns } = terminalSize(process)
    stream.resize(rows, columns)
  }
  if (terminal && stdin) stack.use(rawTerminal(process))
  if (forwardsSignals) {
    const force = () => leave.resolve({ how: 'forced' })
    const target = {
      send: (signal: number) => stream.signal(signal),
      resize: terminal ? resize : undefined,
      force,
    }
    stack.use(forwardSignals(process, target))
  } else if (terminal) {
    process.on('SIGWINCH', resize)
    stack.defer(() => void process.off('SIGWINCH', resize))
  }
  if (stdin) stack.defer(pumpInput(options, stream, () => leave.resolve({ how: 'detached' })))

  const started = whenAttached().then(() => {
    if (terminal) resize()
  })
  const ended = Promise.all([stream.finished, started]).then(([exit]): SessionEnd => ({ how: 'ended', exit }))
  const broken = pump.broken.then((error): SessionEnd => ({ how: 'output-broken', error }))
  const end = await Promise.race([ended, leave.promise, broken])
  if (end.how === 'ended') await Promise.race([pump.flushed(), leave.promise, broken])
  return end
}

/** Carries our stdin to the program at its speed; returns what stops that. */
function pumpInput(
  { process, detachKeys }: SessionOptions,
  stream: CoreStream,
  detach: () => void,
): () => void {
  const { stdin } = process
  const scanner = new DetachScanner(stdin.isTTY ? detachKeys : [])
  const take = (chunk: Buffer) => {
    const { bytes, isDetached } = scanner.scan(chunk)
    stdin.pause()
    stream.write(bytes).then(
      (isTaken) => {
        if (isDetached) detach()
        else if (isTaken) stdin.resume()
      },
      () => {}, // The stream broke: whoever waits for its end says so.
    )
  }
  const end = () => void stream.end()
  stdin.on('data', take).on('end', end)
  // A stdin that cannot be read (a closed descriptor, a folder) has ended.
  stdin.on('error', end)
  return () => {
    stdin.off('data', take).off('end', end)
    stdin.pause()
  }
}
