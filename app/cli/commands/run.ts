// `bulkhead run`: a new guest from an image, and the program's input and output here until it ends.
import { closeSync, openSync, writeSync } from 'node:fs'
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
import { type RunOptions, readRunLine } from '../options/run-line.ts'
import { printable } from '../output/printable.ts'
import { isNews } from '../output/told-once.ts'

export { configure } from '../options/run-line.ts'

export async function run(context: CliContext, command: Command): Promise<number> {
  const line = readRunLine(command, context.environment, terminalSize(context.process))
  const { options, spec, notes } = line
  const isAttached = !options.detach
  const detachKeys = parseDetachKeys(options.detachKeys)
  if (isAttached && options.tty && options.interactive && !context.process.stdin.isTTY)
    throw new UsageError('Cannot attach a terminal (-t) to the program: standard input is no terminal', {
      hint: 'Drop -t to pipe data into the program, or -i if it needs none.',
    })
  for (const note of notes) await context.note(`bulkhead: ${note}`)
  using idFile = options.cidfile === undefined ? undefined : reserveIdFile(options.cidfile)

  const created = await create(context, spec, options)
  idFile?.write(created.id)
  await tellWarnings(context, created.warnings, options)
  const client = await context.connect()
  const guest = created.id
  if (!isAttached) {
    await start(context, guest, options)
    await context.print(`${guest}\n`)
    return 0
  }
  const { ticket } = await client.request('streams.open', {
    kind: 'stdio',
    guest,
    lossless: !options.tty,
    stdin: options.interactive,
    from: 'start',
  })
  const { process } = context
  const session = {
    process,
    client,
    ticket,
    stdin: options.interactive,
    terminal: options.tty,
    forwardsSignals: true,
    detachKeys,
  }
  const end = await runSession(session, () => start(context, guest, options))
  return await reportOutcome({ context, guest, name: created.name }, end)
}

type Created = ResultOf<'guests.create'>

/** Makes the guest; an image that is not there is pulled first, as `--pull` says. */
async function create(
  context: CliContext,
  spec: ParamsOf<'guests.create'>,
  options: RunOptions,
): Promise<Created> {
  const client = await context.connect()
  const pull = () => pullImage(context, spec.image, { isQuiet: options.quiet })
  if (options.pull === 'always') await pull()
  try {
    return await client.request('guests.create', spec)
  } catch (error) {
    const isMissing = error instanceof CoreError && error.code === 'oci.not-found'
    if (!isMissing || options.pull !== 'missing') throw error
  }
  await pull()
  return await client.request('guests.create', spec)
}

/** Starts the guest. One that is to be removed after its end is removed too if it cannot begin. */
async function start(context: CliContext, guest: string, options: RunOptions): Promise<void> {
  const client = await context.connect()
  try {
    await client.request('guests.start', { guest })
  } catch (error) {
    // Most often it is gone already: the core host removes such guests itself.
    if (options.rm) await client.request('guests.remove', { guest, force: true }).catch(() => {})
    throw error
  }
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
  return {
    write: (id) => void writeSync(file, id),
    [Symbol.dispose]: () => closeSync(file),
  }
}
