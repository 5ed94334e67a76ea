// `bulkhead run`: a new guest from an image, and the program's input and output here until it ends.
import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
import type { Command } from 'commander'
import type { ParamsOf, ResultOf } from '../../../core/api/methods.ts'
import { CoreError } from '../../../core/client/core-error.ts'
import { parseDetachKeys } from '../attach/detach-keys.ts'
import { reportOutcome } from '../attach/outcome.ts'
import { runSession } from '../attach/session.ts'
import { terminalSize } from '../attach/terminal-mode.ts'
import type { CliContext } from '../cli-context.ts'
import { CliError, UsageError } from '../failure.ts'
import { pullImage } from '../images/pull-image.ts'
import { withExposedPorts } from '../network/exposed-ports.ts'
import { type RunLine, type RunOptions, readRunLine } from '../options/run-line.ts'
import { printable } from '../output/printable.ts'
import { isNews } from '../output/told-once.ts'

export { configure } from '../options/run-line.ts'

export async function run(context: CliContext, command: Command): Promise<number> {
  const line = readRunLine(command, context.environment, terminalSize(context.process))
  const { options } = line
  const detachKeys = parseDetachKeys(options.detachKeys)
  if (!options.detach && options.tty && options.interactive && !context.process.stdin.isTTY)
    throw new UsageError('Cannot attach a terminal (-t) to the program: standard input is no terminal', {
      hint: 'Drop -t to pipe data into the program, or -i if it needs none.',
    })
  for (const note of line.notes) await context.note(`bulkhead: ${note}`)

  const { created, ticket } = await prepare(context, line)
  const { id: guest, name } = created
  if (ticket === undefined) {
    await start(context, guest, options)
    await context.print(`${guest}\n`)
    return 0
  }
  const session = {
    process: context.process,
    client: await context.connect(),
    ticket,
    stdin: options.interactive,
    terminal: options.tty,
    forwardsSignals: true,
    detachKeys,
  }
  // A program that never ran has an exit record too: it comes on the stream, when nothing is left of the guest.
  const end = await runSession(session, () => start(context, guest, options).catch(unlessItEnded))
  return await reportOutcome({ context, guest, name }, end)
}

interface Prepared {
  readonly created: Created
  /** For the program's input and output, unless it is to run in the background. */
  readonly ticket: string | undefined
}

/** Everything before the start. Who interrupts it leaves no guest behind that was to be removed. */
async function prepare(context: CliContext, { options, spec }: RunLine): Promise<Prepared> {
  return await context.interruptible(async (signal) => {
    using idFile = options.cidfile === undefined ? undefined : reserveIdFile(options.cidfile)
    const client = await context.connect()
    const created = await create(context, spec, options)
    idFile?.write(created.id)
    await tellWarnings(context, created.warnings, options)
    const request = {
      kind: 'stdio',
      guest: created.id,
      lossless: !options.tty,
      stdin: options.interactive,
      from: 'start',
    } as const
    try {
      const ticket = options.detach
        ? undefined
        : (await client.request('streams.open', request, { signal })).ticket
      signal.throwIfAborted()
      return { created, ticket }
    } catch (error) {
      if (options.rm) await removeQuietly(context, created.id)
      throw error
    }
  })
}

type Created = ResultOf<'guests.create'>

/** Makes the guest; an image that is not there is pulled first, as `--pull` says. */
async function create(
  context: CliContext,
  spec: ParamsOf<'guests.create'>,
  options: RunOptions,
): Promise<Created> {
  const client = await context.connect()
  // In a script the program's stderr is not the place for anything of ours.
  const isWatched = !options.quiet && context.process.stderr.isTTY
  const { platform } = options
  const progress = isWatched ? 'auto' : 'quiet'
  const pull = () => pullImage(context, spec.image, { progress, platform, registry: options })
  if (options.pull === 'always' || (await isForAnother(context, spec.image, options))) await pull()
  const send = async () =>
    await client.request('guests.create', await withExposedPorts(context, spec, options))
  try {
    return await send()
  } catch (error) {
    const isMissing = error instanceof CoreError && error.code === 'oci.not-found'
    if (!isMissing || options.pull !== 'missing') throw error
  }
  await pull()
  return await send()
}

/** Whether the image is here and not of the platform that was asked for: then that one is missing. */
async function isForAnother(
  context: CliContext,
  image: string,
  { platform, pull }: RunOptions,
): Promise<boolean> {
  if (platform === undefined || pull !== 'missing') return false
  const client = await context.connect()
  try {
    return (await client.request('images.inspect', { image })).platform !== platform
  } catch (error) {
    if (error instanceof CoreError && error.code === 'oci.not-found') return false
    throw error
  }
}

/** Starts the guest. One that is to be removed after its end is removed too if it cannot begin. */
async function start(context: CliContext, guest: string, options: RunOptions): Promise<void> {
  const client = await context.connect()
  try {
    await client.request('guests.start', { guest })
  } catch (error) {
    if (options.rm && !hasEnded(error)) await removeQuietly(context, guest)
    throw error
  }
}

function unlessItEnded(error: unknown): void {
  if (!hasEnded(error)) throw error
}

/** The guest came up and its life is over already (docs/contracts/control.md, the answer to `guests.start`). */
function hasEnded(error: unknown): boolean {
  return error instanceof CoreError && typeof error.data?.exitCode === 'number'
}

/** Beside a failure that is told already. Most often it is gone: the core host removes such guests itself. */
async function removeQuietly(context: CliContext, guest: string): Promise<void> {
  const client = await context.connect()
  await client.request('guests.remove', { guest, force: true }).catch(() => {})
}

/** To a person who looks on, and once: the program's stderr is not the place for it in a script. */
async function tellWarnings(
  context: CliContext,
  warnings: readonly string[],
  { quiet }: RunOptions,
): Promise<void> {
  if (quiet || !context.process.stderr.isTTY) return
  for (const warning of warnings)
    if (isNews(warning, context.environment))
      await context.note(`bulkhead: ${printable(warning)} (said once)`)
}

/** A new file for the guest's id, made before the guest so that no guest is without its file; gone if that fails. */
function reserveIdFile(path: string): Disposable & { write(id: string): void } {
  let file: number
  try {
    file = openSync(path, 'wx', 0o644)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const reason = code === 'EEXIST' ? 'the file is there already' : message
    throw new CliError('cli.file', `Cannot write the guest's id to ${path}: ${reason}`, {
      hint: 'Name a new file with --cidfile, or remove that one.',
      cause: error,
    })
  }
  let isWritten = false
  return {
    write: (id) => {
      writeSync(file, id)
      isWritten = true
    },
    [Symbol.dispose]: () => {
      closeSync(file)
      if (!isWritten) rmSync(path)
    },
  }
}
