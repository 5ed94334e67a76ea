// What every verb works with: the process it runs in, the core host it was pointed at, and where its words go.
import type { Writable } from 'node:stream'
import type { CoreClient } from '../../core/client/core-client.ts'
import { CliError } from './failure.ts'

export class CliContext implements AsyncDisposable {
  readonly process: NodeJS.Process
  /** What `--host` said. */
  host: string | undefined
  #client: Promise<CoreClient> | undefined

  constructor(host: NodeJS.Process) {
    this.process = host
    // Each write says itself what became of it; without a listener Node would end the process first.
    for (const stream of [host.stdout, host.stderr]) stream.on('error', () => {})
  }

  get environment(): NodeJS.ProcessEnv {
    return this.process.env
  }

  /** The connection to the core host, made at the first call. */
  connect(): Promise<CoreClient> {
    this.#client ??= this.#connect()
    return this.#client
  }

  /** Data: for stdout, byte for byte. Rejects where it cannot be written. */
  print(text: string): Promise<void> {
    return write(this.process.stdout, text)
  }

  /** A document for programs, on stdout. */
  printJson(value: unknown): Promise<void> {
    return this.print(`${JSON.stringify(value, null, 2)}\n`)
  }

  /** A line for people, on stderr. Nobody is told where it cannot be written. */
  async note(line: string): Promise<void> {
    await write(this.process.stderr, `${line}\n`).catch(() => {})
  }

  /**
   * Runs `work`; its signal is aborted when the user wants out, and then it fails with `cli.interrupted`. `describe` makes
   * the sentence out of what the work failed with: what has become of it.
   */
  async interruptible<T>(
    work: (signal: AbortSignal) => Promise<T>,
    describe: (failure: unknown) => string = () => 'Interrupted',
  ): Promise<T> {
    const abort = new AbortController()
    let interruption: CliError | undefined
    const interrupt = (signal: NodeJS.Signals) => {
      if (interruption !== undefined) this.process.exit(130) // Asked twice: without waiting for anybody.
      interruption = new CliError('cli.interrupted', 'Interrupted', { data: { signal } })
      abort.abort(interruption)
    }
    const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
    for (const signal of signals) this.process.on(signal, interrupt)
    try {
      return await work(abort.signal)
    } catch (error) {
      // Where work inside this one was interrupted too, that says more.
      if (interruption === undefined || isInterruption(error)) throw error
      throw new CliError('cli.interrupted', describe(error), { data: interruption.data, cause: error })
    } finally {
      for (const signal of signals) this.process.off(signal, interrupt)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const client = await this.#client?.catch(() => undefined)
    client?.dispose()
  }

  async #connect(): Promise<CoreClient> {
    const [{ connectCore }, { resolveTarget }, { findLab }] = await Promise.all([
      import('../../core/client/core-client.ts'),
      import('../../core/client/target.ts'),
      import('../../lab/find-lab.ts'),
    ])
    return await connectCore(await resolveTarget({ host: this.host, environment: this.environment, findLab }))
  }
}

function isInterruption(error: unknown): boolean {
  return error instanceof CliError && error.code === 'cli.interrupted'
}

/** Resolves when `text` is with the operating system; rejects with its error. */
export function write(stream: Writable, text: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(text, (error) => (error ? reject(error) : resolve()))
  })
}
