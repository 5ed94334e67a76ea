// Runs the command line as a process of its own against a scripted core host, with pipes or in a terminal.
// What a test needs for that is gone after it.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { afterAll, afterEach } from 'vitest'
import { type Script, type ScriptedCore, startScriptedCore } from '../../core/client/scripted-core.fixture.ts'

export interface Finished {
  readonly status: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface CommandOptions {
  /** What is run; the command line's own source if nothing else is said. */
  readonly command?: readonly [file: string, ...words: string[]]
  /** The core host's socket. */
  readonly socketPath?: string
  readonly environment?: Readonly<Record<string, string>>
  /** What comes on stdin, then its end; nothing without it. */
  readonly input?: Uint8Array | string | Readable
}

export interface RunningCommand {
  readonly child: ChildProcess
  /** Resolves when it has written `words` to stdout; rejects when it ends without. */
  said(words: string): Promise<void>
  /** Waits for its end. */
  finish(): Promise<Finished>
}

export interface TestSetUp {
  /** A core host that does what the script says. */
  start(script: Script): Promise<ScriptedCore>
  /** A new folder. */
  folder(): string
}

/** For the top of a test file: what each test of it sets up, gone after that test. */
export function setUpForEach(): TestSetUp {
  let stack = new AsyncDisposableStack()
  afterEach(async () => {
    await stack.disposeAsync()
    stack = new AsyncDisposableStack()
  })
  return {
    start: async (script) => stack.use(await startScriptedCore(script)),
    folder: () => {
      const path = mkdtempSync(join(tmpdir(), 'bulkhead-command-'))
      stack.defer(() => rmSync(path, { recursive: true }))
      return path
    },
  }
}

const fromSource: readonly [string, ...string[]] = [
  process.execPath,
  join(import.meta.dirname, 'bulkhead.ts'),
]
const home = mkdtempSync(join(tmpdir(), 'bulkhead-home-'))
afterAll(() => rmSync(home, { recursive: true, force: true }))

/** Starts `bulkhead WORDS…` with pipes for stdin, stdout and stderr. */
export function startCommand(words: readonly string[], options: CommandOptions = {}): RunningCommand {
  const [file, ...before] = options.command ?? fromSource
  const child = spawn(file, [...before, ...words], {
    env: environmentOf(options),
    stdio: 'pipe',
  })
  const { input } = options
  child.stdin.on('error', () => {}) // A command that ends does not read the rest.
  if (input === undefined || typeof input === 'string' || input instanceof Uint8Array) child.stdin.end(input)
  else input.pipe(child.stdin)
  return watch(child)
}

/** Runs `bulkhead WORDS…` to its end. */
export function runCommand(words: readonly string[], options: CommandOptions = {}): Promise<Finished> {
  return startCommand(words, options).finish()
}

export interface TerminalCommand extends RunningCommand {
  type(keys: string): void
}

/** Starts `bulkhead WORDS…` in a terminal of its own (script(1)); stdout is all that the terminal shows. */
export function startInTerminal(words: readonly string[], options: CommandOptions = {}): TerminalCommand {
  const quoted = [...(options.command ?? fromSource), ...words].map(
    (word) => `'${word.replaceAll("'", "'\\''")}'`,
  )
  const child = spawn('script', ['-qefc', `stty rows 40 cols 132; exec ${quoted.join(' ')}`, '/dev/null'], {
    env: { ...environmentOf(options), SHELL: '/bin/sh' },
    stdio: 'pipe',
  })
  return { ...watch(child), type: (keys) => void child.stdin.write(keys) }
}

function environmentOf({ socketPath, environment }: CommandOptions): NodeJS.ProcessEnv {
  return {
    PATH: process.env.PATH ?? '/usr/bin:/bin',
    HOME: home,
    BULKHEAD_CACHE: join(home, 'cache'),
    ...(socketPath === undefined ? {} : { BULKHEAD_HOST: socketPath }),
    ...environment,
  }
}

/** Keeps what a process writes; a test that wants it to wait pauses `child.stdout`. */
function watch(child: ChildProcess): RunningCommand {
  const stdout: Buffer[] = []
  const stderr: Buffer[] = []
  child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk))
  child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk))
  const text = (chunks: readonly Buffer[]) => Buffer.concat(chunks).toString()
  const ended = new Promise<Finished>((resolve) => {
    child.on('close', (status, signal) =>
      resolve({ status, signal, stdout: text(stdout), stderr: text(stderr) }),
    )
  })
  return {
    child,
    finish: () => ended,
    said: (words) =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (!text(stdout).includes(words)) return
          child.stdout?.off('data', look)
          resolve()
        }
        child.stdout?.on('data', look)
        look()
        void ended.then((end) => reject(new Error(`"${words}" did not come: ${JSON.stringify(end)}`)))
      }),
  }
}
