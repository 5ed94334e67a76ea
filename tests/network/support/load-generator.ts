// Compiles load-generator.c, once for a process, and reads what its commands say.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Namespace } from './namespace.ts'
import { type Program, run } from './program.ts'

export interface ConnectionCount {
  readonly done: number
  readonly failed: number
  readonly perSecond: number
}

export interface RoundTrips {
  readonly count: number
  readonly medianMicros: number
  readonly p99Micros: number
}

export interface DatagramCount {
  readonly answers: number
  readonly lost: number
  readonly perSecond: number
}

/** Where a server of the generator listens: `port` answers and closes, `port + 1` echoes (TCP and UDP). */
export interface LoadTarget {
  readonly address: string
  readonly port: number
}

export class LoadGenerator implements Disposable {
  readonly #folder: string
  readonly #program: string

  private constructor(folder: string) {
    this.#folder = folder
    this.#program = join(folder, 'load-generator')
  }

  static async compile(): Promise<LoadGenerator> {
    const generator = new LoadGenerator(mkdtempSync(join(tmpdir(), 'load-generator-')))
    const source = join(import.meta.dirname, 'load-generator.c')
    await run('musl-gcc', '-O2', '-static', '-Wall', '-Wextra', '-Werror', '-o', generator.#program, source)
    return generator
  }

  /** Starts the server; resolves when it listens. */
  async serve(namespace: Namespace, { address, port }: LoadTarget): Promise<Program> {
    const server = namespace.start(this.#program, 'serve', address, String(port))
    await server.nextLine()
    return server
  }

  /** New connections, for a time or a number of them. */
  connections(
    namespace: Namespace,
    target: LoadTarget,
    { seconds = 0, count = 0, processes }: { seconds?: number; count?: number; processes: number },
  ): Promise<ConnectionCount> {
    return this.#result(namespace, 'connections', target, seconds, count, processes)
  }

  roundTrips(namespace: Namespace, { address, port }: LoadTarget, seconds: number): Promise<RoundTrips> {
    return this.#result(namespace, 'round-trips', { address, port: port + 1 }, seconds)
  }

  datagrams(
    namespace: Namespace,
    { address, port }: LoadTarget,
    { seconds, sizeBytes }: { seconds: number; sizeBytes: number },
  ): Promise<DatagramCount> {
    return this.#result(namespace, 'datagrams', { address, port: port + 1 }, seconds, sizeBytes)
  }

  /** Opens `count` connections and holds them. */
  async idle(namespace: Namespace, { address, port }: LoadTarget, count: number): Promise<IdleConnections> {
    const program = namespace.start(this.#program, 'idle', address, String(port + 1), String(count))
    const { open }: { open: number } = JSON.parse(await program.nextLine())
    return new IdleConnections(program, open)
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true })
  }

  async #result<Result>(
    namespace: Namespace,
    command: string,
    { address, port }: LoadTarget,
    ...numbers: readonly number[]
  ): Promise<Result> {
    const words = [command, address, String(port), ...numbers.map(String)]
    return JSON.parse(await namespace.run(this.#program, ...words))
  }
}

export class IdleConnections implements AsyncDisposable {
  readonly open: number
  readonly #program: Program

  constructor(program: Program, open: number) {
    this.#program = program
    this.open = open
  }

  /** Asks each for an echo: how many answered. */
  async alive(): Promise<number> {
    this.#program.child.stdin.write('\n')
    const { alive }: { alive: number } = JSON.parse(await this.#program.nextLine())
    return alive
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#program[Symbol.asyncDispose]()
  }
}
