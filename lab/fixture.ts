// A pristine Xen host for a test suite: restored from the snapshot under a name of its own, and gone with the
// process that asked for it, however that one ends.

import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { constants } from 'node:os'
import { Readable, Writable } from 'node:stream'
import type { CoreStatus, OperationRequest } from './agent/protocol.ts'
import { openCache } from './cache.ts'
import { watch } from './commands.ts'
import { type LabFiles, labFiles } from './daemon/lab-files.ts'
import type { LabStatus } from './daemon/messages.ts'
import { LabError } from './errors.ts'
import { requestLab, startOperation } from './lab-client.ts'
import { type LabOptions, labOptions } from './lab-options.ts'
import { testLabName } from './labs-cleanup.ts'
import { consoleTail } from './qemu/machine.ts'
import { startDaemon } from './start-daemon.ts'

export type LabFixtureOptions = Partial<Omit<LabOptions, 'name'>> & {
  /** Told what is being waited for; by default nothing is said. */
  readonly report?: (line: string) => void
}

export interface ExecOptions {
  readonly stdin?: string | Uint8Array | Readable
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Ends the program with SIGKILL. */
  readonly signal?: AbortSignal
}

export interface ExecResult {
  readonly stdout: string
  readonly stderr: string
  /** The output as it was, for what is not text. */
  readonly stdoutBytes: Buffer
  /** The exit status as a shell counts it: 128 + n after signal n. */
  readonly code: number
}

/** Restores a lab, building whatever is missing, and resolves once it (and the core host, if it has one) can be used. */
export async function startLab({ report = () => {}, ...given }: LabFixtureOptions = {}): Promise<Lab> {
  const cache = openCache()
  const options = labOptions({ ...given, name: testLabName(randomBytes(3).toString('hex')) })
  const files = labFiles(cache, options.name)
  const daemon = await startDaemon(cache, options, { report, isDisposable: true })
  const lab = new Lab(options.name, files, daemon)
  try {
    await watch(files, report)
    return lab
  } catch (cause) {
    const story = await lab.story()
    await lab.close()
    const message = cause instanceof Error ? cause.message : String(cause)
    throw new LabError('lab.boot', `${message}\n${story}`, { cause })
  }
}

export class Lab implements AsyncDisposable {
  readonly name: string
  readonly files: LabFiles
  readonly daemon: ChildProcess

  constructor(name: string, files: LabFiles, daemon: ChildProcess) {
    this.name = name
    this.files = files
    this.daemon = daemon
  }

  /** The control API of the core host in dom0. */
  get socketPath(): string {
    return this.files.coreSocket
  }

  async status(): Promise<LabStatus> {
    return (await requestLab(this.files.labSocket, { verb: 'status' })) as LabStatus
  }

  /** Runs a program in dom0, or a line for its shell, to the end. Rejects with `lab.exec` if it cannot be started. */
  async exec(command: string | readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    const argv = typeof command === 'string' ? ['sh', '-c', command] : command
    const { env, cwd } = options
    return this.#operate({ verb: 'exec', argv, ...(env ? { env } : {}), ...(cwd ? { cwd } : {}) }, options)
  }

  async putFile(path: string, content: string | Uint8Array | Readable, mode = 0o644): Promise<void> {
    await this.#operate({ verb: 'writeFile', path, mode }, { stdin: content })
  }

  async getFile(path: string): Promise<Buffer> {
    return (await this.#operate({ verb: 'readFile', path }, {})).stdoutBytes
  }

  /** Stops the core host and starts it again; resolves when it answers. */
  async restartCore(): Promise<void> {
    await this.#core('stop')
    await this.coreReady()
  }

  /** Sends a signal to the core host, which is started again within a second; with SIGKILL, resolves when it is dead. */
  async killCore(signal: NodeJS.Signals = 'SIGKILL'): Promise<CoreStatus> {
    return this.#core('kill', signal)
  }

  /** Stops the core host until `coreReady` is asked for. */
  async stopCore(): Promise<CoreStatus> {
    return this.#core('stop')
  }

  /** Resolves when the core host answers, starting it if it does not run. */
  async coreReady(): Promise<void> {
    await requestLab(this.files.labSocket, { verb: 'awaitCore' })
  }

  /** A port on this machine's loopback that leads to a port of dom0. */
  async forward(dom0Port: number, protocol: 'tcp' | 'udp' = 'tcp', hostPort?: number): Promise<number> {
    const request = {
      verb: 'forward',
      protocol,
      dom0Port,
      ...(hostPort === undefined ? {} : { hostPort }),
    } as const
    return (await requestLab(this.files.labSocket, request)) as number
  }

  /** What Xen, dom0 and the core host said last, for the message of a failed test. */
  async story(): Promise<string> {
    const core = await this.exec('tail -n 20 /var/log/bulkhead/core-host.log').catch(() => undefined)
    const consoleLines = `--- console of ${this.name}\n${consoleTail(this.files.consoleLog)}`
    return core?.stdout ? `${consoleLines}\n--- core host\n${core.stdout}` : consoleLines
  }

  /** Ends QEMU and removes the lab's folder. */
  async close(): Promise<void> {
    if (this.daemon.exitCode === null && this.daemon.signalCode === null) {
      const ended = new Promise((resolve) => this.daemon.once('exit', resolve))
      this.daemon.ref()
      this.daemon.stdin?.destroy()
      await ended
    }
    // A daemon that was killed could not.
    await rm(this.files.folder, { recursive: true, force: true })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #core(action: 'stop' | 'kill', signal?: string): Promise<CoreStatus> {
    const request = { verb: 'core', action, ...(signal === undefined ? {} : { signal }) } as const
    return (await requestLab(this.files.labSocket, request)) as CoreStatus
  }

  async #operate(request: OperationRequest, { stdin, signal }: ExecOptions): Promise<ExecResult> {
    const stdout: Buffer[] = []
    const stderr: Buffer[] = []
    const operation = startOperation(this.files.labSocket, request, {
      stdin: stdin === undefined || stdin instanceof Readable ? stdin : Readable.from([Buffer.from(stdin)]),
      stdout: collector(stdout),
      stderr: collector(stderr),
      signal,
    })
    const exit = await operation.exit
    const stdoutBytes = Buffer.concat(stdout)
    const signalNumber = constants.signals[exit.signal as NodeJS.Signals]
    return {
      stdout: stdoutBytes.toString(),
      stderr: Buffer.concat(stderr).toString(),
      stdoutBytes,
      code: exit.code ?? 128 + signalNumber,
    }
  }
}

function collector(chunks: Buffer[]): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk)
      done()
    },
  })
}
