// A network namespace of a test: made with a random name, removed at its end; programs started in it.
// The name carries the number of the test's process, so that what a killed run left behind is found and removed.
import { randomBytes } from 'node:crypto'
import { NAMESPACE_PREFIX } from './abandoned.ts'
import { Program, run } from './program.ts'

const FOLDER = '/run/netns'

export class Namespace implements AsyncDisposable {
  readonly name: string
  /** For setns(2) and for programs that take a namespace by path. */
  readonly path: string

  private constructor(name: string) {
    this.name = name
    this.path = `${FOLDER}/${name}`
  }

  /** A namespace with its loopback up, and no other interface. */
  static async create(part: string): Promise<Namespace> {
    const namespace = new Namespace(
      `${NAMESPACE_PREFIX}-${process.pid}-${randomBytes(3).toString('hex')}-${part}`,
    )
    await run('ip', 'netns', 'add', namespace.name)
    await namespace.ip('link', 'set', 'lo', 'up')
    return namespace
  }

  /** Starts a program in it. Dispose of it, or wait for its end. */
  start(...command: readonly string[]): Program {
    return new Program(command, ['nsenter', `--net=${this.path}`, '--'])
  }

  /** Runs a program in it to its end: what it wrote. Throws unless it ends with 0. */
  run(...command: readonly string[]): Promise<string> {
    return this.start(...command).output()
  }

  /** `ip` of iproute2, on this namespace. */
  ip(...words: readonly string[]): Promise<string> {
    return run('ip', '-n', this.name, ...words)
  }

  /** Sets kernel parameters of this namespace: `net.ipv4.tcp_tw_reuse=1`. */
  async sysctl(...settings: readonly string[]): Promise<void> {
    await this.run('sysctl', '--quiet', '--write', ...settings)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await run('ip', 'netns', 'del', this.name)
  }
}
