// Starting the network engine: a process of its own that outlives whoever starts it. It says on its standard output when
// it listens; what it has to say about failures before that goes to the starter's log.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { NetError } from '../errors.ts'

export interface StartEngineOptions {
  readonly socketPath: string
  /** The user it becomes once it listens; only where this process is root. */
  readonly uid?: number | undefined
  readonly gid?: number | undefined
  /** How many descriptors it may have open. */
  readonly descriptors?: number | undefined
  /** The Node program that runs it. */
  readonly execPath?: string | undefined
  readonly log: (message: string) => void
}

export interface EngineProcess {
  readonly pid: number
  /** Resolves with how it ended. */
  readonly ended: Promise<string>
}

/** What it says when it listens. */
export const LISTENING = 'listening'
/** What the engine may see of our environment. */
const PASSED_ON = ['PATH', 'TZ'] as const
/** Beside this file, as source and when bundled. */
const ENTRY = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? './net-engine.ts' : './net-engine.js', import.meta.url),
)

/** Resolves when it listens. Throws NetError `net.engine-died` where it ends before that. */
export async function startEngine(options: StartEngineOptions): Promise<EngineProcess> {
  const { socketPath, uid, gid, descriptors, execPath = process.execPath, log } = options
  const child = spawn(
    execPath,
    [
      ENTRY,
      `--socket=${socketPath}`,
      ...(uid === undefined ? [] : [`--user=${uid}:${gid ?? uid}`]),
      ...(descriptors === undefined ? [] : [`--descriptors=${descriptors}`]),
    ],
    {
      cwd: '/',
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: Object.fromEntries(
        PASSED_ON.flatMap((name) => {
          const value = process.env[name]
          return value === undefined ? [] : [[name, value]]
        }),
      ),
    },
  )
  let lastLine = ''
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(`could not be started: ${error.message}`))
    child.once('exit', (code, signal) =>
      resolve(signal === null ? `ended with status ${code}` : `was ended by ${signal}`),
    )
  })
  const listening = new Promise<void>((resolve) => {
    createInterface(child.stdout).on('line', (line) => {
      if (line === LISTENING) resolve()
    })
  })
  createInterface(child.stderr).on('line', (line) => {
    lastLine = line
    log(`network engine: ${line}`)
  })
  const how = await Promise.race([listening, ended])
  if (how !== undefined || child.pid === undefined)
    throw new NetError(
      'net.engine-died',
      `Cannot start the network engine: it ${how ?? 'has no process'}${lastLine === '' ? '' : `: ${lastLine}`}`,
    )
  child.unref()
  // Neither of its pipes keeps this process from ending.
  for (const pipe of [child.stdout, child.stderr])
    if ('unref' in pipe && typeof pipe.unref === 'function') pipe.unref()
  return { pid: child.pid, ended }
}
