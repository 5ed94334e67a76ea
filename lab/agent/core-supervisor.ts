// Keeps the core host running in dom0, as systemd does on an installed machine: one that dies is started again
// within a second.

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, openSync, writeFileSync } from 'node:fs'
import { type CoreStatus, coreTcpPort } from './protocol.ts'

const restartDelayMs = 300
const stopTimeoutMs = 5000
const tokenFile = '/run/bulkhead/lab-token'
export const coreLogFile = '/var/log/bulkhead/core-host.log'

export class CoreSupervisor {
  readonly #onChange: (status: CoreStatus) => void
  #child: ChildProcess | undefined
  #timer: NodeJS.Timeout | undefined
  #wanted = false
  #starts = 0
  #lastEnd: string | null = null
  #whenEnded: (() => void)[] = []

  constructor(onChange: (status: CoreStatus) => void) {
    this.#onChange = onChange
  }

  status(): CoreStatus {
    return {
      wanted: this.#wanted,
      processId: this.#child?.pid ?? null,
      starts: this.#starts,
      lastEnd: this.#lastEnd,
    }
  }

  /** The secret that a connection to the core host from outside has to begin with. */
  setToken(token: string): void {
    mkdirSync('/run/bulkhead', { recursive: true, mode: 0o755 })
    writeFileSync(tokenFile, `${token}\n`, { mode: 0o600 })
  }

  start(): void {
    this.#wanted = true
    // One that has just died may be about to be started again.
    clearTimeout(this.#timer)
    if (!this.#child) this.#launch()
  }

  /** Ends the core host, at first kindly; resolves when it is gone. */
  async stop(): Promise<void> {
    this.#wanted = false
    clearTimeout(this.#timer)
    if (!this.#child) return
    const child = this.#child
    const ended = new Promise<void>((resolve) => this.#whenEnded.push(resolve))
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), stopTimeoutMs)
    await ended
    clearTimeout(timer)
  }

  async restart(): Promise<void> {
    await this.stop()
    this.start()
  }

  /** Sends a signal to the core host, which is started again if it dies of it; with SIGKILL, resolves when it is dead. */
  async kill(signal: string): Promise<void> {
    if (!this.#child) throw new Error('Cannot kill the core host: it does not run')
    const ended = new Promise<void>((resolve) => this.#whenEnded.push(resolve))
    this.#child.kill(signal as NodeJS.Signals)
    if (signal === 'SIGKILL') await ended
  }

  #launch(): void {
    this.#starts += 1
    const log = openSync(coreLogFile, 'a')
    const child = spawn(
      process.execPath,
      [
        '/core/dist/core/core-host.js',
        ...['--listen', '/run/bulkhead/core.sock'],
        ...['--state', '/var/lib/bulkhead'],
        ...['--runtime-dir', '/run/bulkhead'],
        ...['--lab-listen', `0.0.0.0:${coreTcpPort}`],
        ...['--lab-token-file', tokenFile],
      ],
      { cwd: '/', stdio: ['ignore', log, log], detached: true },
    )
    this.#child = child
    child.on('error', (error) => this.#ended(error.message))
    child.on('exit', (code, signal) => this.#ended(code === null ? `killed by ${signal}` : `status ${code}`))
    this.#onChange(this.status())
  }

  #ended(how: string): void {
    if (!this.#child) return
    this.#child = undefined
    this.#lastEnd = how
    for (const resolve of this.#whenEnded.splice(0)) resolve()
    if (this.#wanted) this.#timer = setTimeout(() => this.#launch(), restartDelayMs)
    this.#onChange(this.status())
  }
}
