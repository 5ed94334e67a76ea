// A program that a test starts, in a network namespace or in ours: its output line by line, its end, and no program that
// outlives the test: the kernel kills it when the test's process ends in whatever way.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'

export interface ProgramEnd {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export class Program implements AsyncDisposable {
  readonly child: ChildProcessWithoutNullStreams
  readonly name: string
  /** When it has ended and its output is read. Never rejects. */
  readonly end: Promise<ProgramEnd>
  readonly #lines: string[] = []
  readonly #waiting: (() => void)[] = []
  #stdout = ''
  #stderr = ''
  #hasEnded = false

  /** Starts `command`, prefixed by what takes it into a namespace, if there is one. */
  constructor(command: readonly string[], prefix: readonly string[] = []) {
    this.name = command.join(' ')
    this.child = spawn('setpriv', ['--pdeathsig', 'KILL', ...prefix, ...command], {
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    // A program that does not read to the end of what it is given is judged by its exit code.
    this.child.stdin.on('error', () => undefined)
    this.#collect(this.child.stdout, (text) => {
      this.#stdout += text
    })
    this.#collect(this.child.stderr, (text) => {
      this.#stderr += text
    })
    createInterface({ input: this.child.stdout }).on('line', (line) => {
      this.#lines.push(line)
      this.#wake()
    })
    this.end = new Promise((resolve) => {
      const finish = (code: number | null, signal: NodeJS.Signals | null) => {
        this.#hasEnded = true
        this.#wake()
        resolve({ code, signal, stdout: this.#stdout, stderr: this.#stderr })
      }
      this.child.once('error', ({ message }) => {
        this.#stderr += message
        finish(null, null)
      })
      this.child.once('close', finish)
    })
  }

  get pid(): number {
    if (this.child.pid === undefined) throw new Error(`${this.name} did not start`)
    return this.child.pid
  }

  /** Its next line of output. Throws when it ends before there is one. */
  async nextLine(): Promise<string> {
    for (;;) {
      const line = this.#lines.shift()
      if (line !== undefined) return line
      if (this.#hasEnded) throw new Error(`${this.name} ended without another line: ${this.#stderr}`)
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
  }

  /** The first line from now on that has `text` in it. */
  async lineWith(text: string): Promise<string> {
    for (;;) {
      const line = await this.nextLine()
      if (line.includes(text)) return line
    }
  }

  /** What it wrote to stdout, when it has ended with 0. Throws when it ends otherwise. */
  async output(): Promise<string> {
    const { code, signal, stdout, stderr } = await this.end
    if (code !== 0)
      throw new Error(`${this.name} ended with ${code ?? signal}: ${`${stdout}\n${stderr}`.slice(-2000)}`)
    return stdout
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#hasEnded) this.child.kill('SIGKILL')
    await this.end
  }

  #collect(stream: Readable, take: (text: string) => void): void {
    stream.on('data', (chunk: Buffer) => take(chunk.toString('latin1')))
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake()
  }
}

/** Runs a program to its end: what it wrote to stdout. Throws unless it ends with 0. */
export function run(...command: readonly string[]): Promise<string> {
  return new Program(command).output()
}
