// `bulkhead net capture`: a guest's frames from now on, as pcapng.
import type { Command } from 'commander'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { CliError, UsageError } from '../failure.ts'
import { isStandardOutput, openCaptureTarget } from '../network/capture-target.ts'
import { recordCapture } from '../network/record-capture.ts'
import { parseByteSize } from '../options/byte-size.ts'

interface Options {
  readonly write?: string
  readonly snaplen?: string
  readonly limit?: string
}

export function configure(command: Command): void {
  command
    .argument('<guest>', 'a name, an id, or the beginning of an id')
    .option('-w, --write <file>', 'write this file; "-" or without it standard output')
    .option('-s, --snaplen <bytes>', 'of each frame (default: 65600, all of it)')
    .option('--limit <size>', 'end before it would be larger: 512k, 64m, 1g (default: 64m)')
  describeExamples(
    command,
    [
      ['net capture web -w web.pcapng', 'until Ctrl-C'],
      ['net capture web | tshark -r -', 'look on'],
      ["net capture web | tshark -r - -Y 'tcp.port == 80'", 'some of it'],
    ],
    'Ctrl-C ends it; how many frames it has is said then. A file ends with a whole frame at any moment, and can be read\nwhile it grows. A reader that is too slow loses frames, the guest none.',
  )
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const [guest = ''] = command.args
  const { write: path, snaplen, limit } = command.opts<Options>()
  const frameBytes = snaplen === undefined ? undefined : parseSnaplen(snaplen)
  const limitBytes = limit === undefined ? undefined : parseByteSize(limit, 4096, 68_719_476_736)
  if (isStandardOutput(path) && context.process.stdout.isTTY)
    throw new CliError('cli.file', 'Cannot write a capture to standard output: it is a terminal', {
      hint: `Name a file with -w, or look on with: bulkhead net capture ${guest} | tshark -r -`,
    })
  const client = await context.connect()
  const { ticket } = await client.request('network.capture', {
    guest,
    ...(frameBytes === undefined ? {} : { frameBytes }),
    ...(limitBytes === undefined ? {} : { limitBytes }),
  })
  await using target = await openCaptureTarget(path, context.process)
  if (context.process.stderr.isTTY) await context.note('Capturing; Ctrl-C ends it.')
  using stop = stopSignal(context.process)
  const { frames, dropped, failure } = await recordCapture(client, ticket, target, stop.signal)
  const lost = dropped === 0 ? '' : `, ${dropped} more had no room`
  const isByItself = failure === undefined && !stop.signal.aborted
  const end = isByItself ? '; it ended by itself, at its limit or with the guest' : ''
  await context.note(`${frames} ${frames === 1 ? 'frame' : 'frames'} captured${lost}${end}`)
  if (failure !== undefined) throw failure
  return 0
}

function parseSnaplen(text: string): number {
  const bytes = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (!(bytes >= 64 && bytes <= 65_600))
    throw new UsageError(`Cannot keep "${text}" bytes of each frame: write a number from 64 to 65600`)
  return bytes
}

/** Aborted at the first signal that asks for an end; the second one ends the process. */
function stopSignal(process: NodeJS.Process): Disposable & { readonly signal: AbortSignal } {
  const stop = new AbortController()
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  const ask = () => {
    if (stop.signal.aborted) process.exit(130)
    stop.abort()
  }
  for (const signal of signals) process.on(signal, ask)
  return {
    signal: stop.signal,
    [Symbol.dispose]: () => {
      for (const signal of signals) process.off(signal, ask)
    },
  }
}
