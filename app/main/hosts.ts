// Finding and starting core hosts from the app: a lab that runs, the lab's own command, the core host of this dom0
// by way of polkit. Both are started as processes of their own: building a lab takes the event loop for itself.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { defaultSocketPath } from '../../core/api/wire.ts'
import { status } from '../../lab/commands.ts'
import { defaultLabName } from '../../lab/lab-options.ts'
import { findNode, projectRoot } from '../../lab/project-files.ts'
import { appError } from './app-error.ts'
import { type Command, startCoreCommand } from './start-core.ts'

/** The core socket of a running lab. */
export async function findLab(name: string | undefined): Promise<string | undefined> {
  const lab = await status(name ?? defaultLabName)
  return lab?.coreSocket
}

export interface StartOptions {
  readonly signal: AbortSignal
  readonly onStep: (step: string) => void
}

/** Starts a host; fulfilled once it can be connected to, rejected with what it said last. */
export async function startHost(what: 'core' | 'lab', options: StartOptions): Promise<void> {
  const root = projectRoot()
  const { path: nodePath } = findNode(root)
  await runToReady(
    what === 'lab'
      ? { file: nodePath, args: [join(root, 'lab/cli.ts'), 'up'] }
      : startCoreCommand({
          nodePath,
          coreHostPath: join(root, 'dist/core/core-host.js'),
          socketPath: defaultSocketPath,
          userId: process.getuid?.() ?? 0,
        }),
    what,
    options,
  )
}

const whatItIs = { core: 'the core host of this machine', lab: 'the lab' } as const

/** Runs a command that says its steps on stderr, line by line, and ends (or says `ready`) when it is done. */
export function runToReady(
  command: Command,
  what: 'core' | 'lab',
  { signal, onStep }: StartOptions,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command.file, command.args, { stdio: ['ignore', 'pipe', 'pipe'], signal })
    const said: string[] = []
    const hear = (line: string) => {
      if (line.trim() === '') return
      said.push(line)
      onStep(line)
      if (line === 'ready') resolve()
    }
    createInterface({ input: child.stdout }).on('line', hear)
    createInterface({ input: child.stderr }).on('line', hear)
    const fail = (reason: string, cause?: unknown) =>
      reject(appError('app.cannot-start', `Cannot start ${whatItIs[what]}: ${reason}`, { cause }))
    child.on('error', (error) => fail(error.message, error))
    // `close`, not `exit`: everything it said has been heard by then.
    child.on('close', (code, signalName) => {
      if (code === 0) resolve()
      else fail(said.slice(-2).join('. ') || `it ended with ${signalName ?? code}`)
    })
  })
}
