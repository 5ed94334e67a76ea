// Programs that bring a host up: one that ends when the host is there (the lab's command), one that is the host and
// goes on (the core host). Both say their steps line by line; what they said last is why they failed.
import { type ChildProcess, spawn } from 'node:child_process'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { appError } from './app-error.ts'
import type { Command } from './start-core.ts'

export interface StartOptions {
  /** What is started, in a sentence: `the lab`. */
  readonly what: string
  readonly signal: AbortSignal
  readonly onStep: (step: string) => void
}

interface Started {
  readonly child: ChildProcess
  /** Fulfilled with how it failed, or with nothing where it ended well. */
  readonly ended: Promise<Error | undefined>
}

/** Runs a command to its end; rejects with `app.cannot-start` where it fails. */
export async function runToEnd(command: Command, options: StartOptions): Promise<void> {
  const failure = await start(command, options).ended
  if (failure !== undefined) throw failure
}

/** How often a socket is tried while the program behind it starts. */
const tryEveryMs = 100

/** Runs a program that goes on without this one; fulfilled when something takes connections at `socketPath`. */
export async function runUntilItListens(
  command: Command,
  socketPath: string,
  options: StartOptions,
): Promise<void> {
  const { child, ended } = start(command, { ...options, isDetached: true })
  const over = ended.then(
    (failure) => failure ?? appError('app.cannot-start', `Cannot start ${options.what}: it ended at once`),
  )
  while (!(await isListening(socketPath))) {
    const failure = await Promise.race([over, delay(tryEveryMs)])
    if (failure !== undefined) throw failure
  }
  child.stdout?.destroy()
  child.stderr?.destroy()
  child.unref()
}

function start(
  { file, args }: Command,
  { what, signal, onStep, isDetached = false }: StartOptions & { readonly isDetached?: boolean },
): Started {
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: isDetached, signal })
  const said: string[] = []
  const hear = (line: string) => {
    if (line.trim() === '') return
    said.push(line)
    onStep(line)
  }
  createInterface({ input: child.stdout }).on('line', hear)
  createInterface({ input: child.stderr }).on('line', hear)
  const { promise: ended, resolve } = Promise.withResolvers<Error | undefined>()
  const fail = (reason: string, cause?: unknown) =>
    resolve(appError('app.cannot-start', `Cannot start ${what}: ${reason}`, { cause }))
  child.on('error', (error) => fail(error.message, error))
  // `close`, not `exit`: everything it said has been heard by then.
  child.on('close', (code, signalName) => {
    if (code === 0) resolve(undefined)
    else fail(said.slice(-2).join('. ') || `it ended with ${signalName ?? code}`)
  })
  return { child, ended }
}

function isListening(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
