// The app's connection to its core host: looks for the host, connects, hears its events, and begins again with
// growing pauses when anything of that fails. A person can cut a pause short or have a host started.
import type { EventNotification } from '../../core/api/methods.ts'
import type { CoreClient } from '../../core/client/core-client.ts'
import type { CoreTarget } from '../../core/client/target.ts'
import { BulkheadError } from '../../core/errors.ts'
import type { ConnectAction, ConnectionStatus, HostLabel } from '../preload/connection-status.ts'
import { appError } from './app-error.ts'
import { retryDelayMs } from './backoff.ts'
import { errorBodyOf } from './envelope.ts'
import { waysOut } from './ways-out.ts'

export interface ConnectionParts {
  readonly resolveTarget: () => Promise<CoreTarget>
  readonly connect: (target: CoreTarget, signal: AbortSignal) => Promise<CoreClient>
  /** Starts the core host of this machine, or the lab; tells each step. */
  readonly start: (
    what: 'core' | 'lab',
    options: { readonly signal: AbortSignal; readonly onStep: (step: string) => void },
  ) => Promise<void>
  readonly onStatus: (status: ConnectionStatus) => void
  readonly onEvent: (notification: EventNotification) => void
  /** Fulfilled after `ms`, or when aborted. */
  readonly pause: (ms: number, signal: AbortSignal) => Promise<void>
  readonly now: () => number
}

const noHost: HostLabel = { kind: 'none', label: '' }

export class CoreConnection {
  readonly #parts: ConnectionParts
  readonly #end = new AbortController()
  #status: ConnectionStatus = { state: 'connecting', host: noHost }
  #client: CoreClient | undefined
  #host = noHost
  #session = 0
  #wish: ConnectAction | undefined
  #pause = new AbortController()

  constructor(parts: ConnectionParts) {
    this.#parts = parts
  }

  get status(): ConnectionStatus {
    return this.#status
  }

  /** The connected client; throws `app.not-connected`. */
  get client(): CoreClient {
    if (this.#client !== undefined) return this.#client
    throw appError('app.not-connected', 'There is no connection to a core host right now', {
      hint: 'Wait until it is connected again.',
    })
  }

  /** Does what a person chose for a failed connection, now. */
  act(action: ConnectAction): void {
    this.#wish = action
    this.#pause.abort()
  }

  stop(): void {
    this.#end.abort()
    this.#pause.abort()
    this.#client?.dispose()
  }

  /** Connects again and again until `stop`. */
  async run(): Promise<void> {
    let failures = 0
    while (!this.#end.signal.aborted) {
      try {
        await this.#startIfWished()
        await this.#stayConnected(() => {
          failures = 0
        })
      } catch (error) {
        failures += 1
        await this.#waitAfter(error, failures)
      }
    }
  }

  async #startIfWished(): Promise<void> {
    const wish = this.#wish
    this.#wish = undefined
    if (wish !== 'start-core' && wish !== 'start-lab') return
    const onStep = (step: string) => this.#tell({ state: 'starting', host: this.#host, step })
    onStep('')
    await this.#parts.start(wish === 'start-lab' ? 'lab' : 'core', { signal: this.#end.signal, onStep })
  }

  async #stayConnected(onReady: () => void): Promise<void> {
    this.#host = noHost
    const target = await this.#parts.resolveTarget()
    this.#host = { kind: target.kind, label: target.label }
    this.#tell({ state: 'connecting', host: this.#host })
    using client = await this.#parts.connect(target, this.#end.signal)
    using _events = client.onEvent(this.#parts.onEvent)
    await client.request('events.subscribe', {})
    this.#client = client
    try {
      this.#session += 1
      this.#tell({ state: 'ready', host: this.#host, version: client.version, session: this.#session })
      onReady()
      const lost = await client.closed
      if (lost !== undefined) throw lost
    } finally {
      this.#client = undefined
    }
  }

  async #waitAfter(error: unknown, failures: number): Promise<void> {
    if (this.#end.signal.aborted) return
    const delayMs = retryDelayMs(failures)
    const code = error instanceof BulkheadError ? error.code : ''
    this.#tell({
      state: 'failed',
      host: this.#host,
      error: errorBodyOf(error),
      actions: waysOut(code, this.#host.kind),
      retryAt: this.#parts.now() + delayMs,
    })
    this.#pause = new AbortController()
    if (this.#wish === undefined) await this.#parts.pause(delayMs, this.#pause.signal)
  }

  #tell(status: ConnectionStatus): void {
    this.#status = status
    this.#parts.onStatus(status)
  }
}
