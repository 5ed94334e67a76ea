// Keeps the core host joined to a network engine: connects to the one that runs, starts one where none does, and another when
// it ends or hangs. Whoever listens tells a new connection everything again.
import { setTimeout as delay } from 'node:timers/promises'
import { type EngineReady, NetEngineClient } from '../../net/engine/engine-client.ts'
import { openRawIcmp, type RawIcmp } from '../../net/engine/raw-icmp.ts'
import { startEngine } from '../../net/engine/start-engine.ts'
import type { NetworkSettings } from '../../net/settings.ts'
import { isSystemError } from '../../sys/system-error.ts'

export interface SupervisorOptions {
  readonly socketPath: string
  readonly settings: NetworkSettings
  /** Ours: an engine of another version that was found is replaced. */
  readonly version: string
  /** The user of an engine that is started; undefined leaves it ours. */
  readonly uid?: number | undefined
  readonly gid?: number | undefined
  /** The Node program that runs it. */
  readonly execPath?: string | undefined
  readonly log: (message: string) => void
  /** A connection is there, and `ready` says what the engine has: tell it the rest. Must not throw. */
  readonly onConnected: (client: NetEngineClient, ready: EngineReady) => void
  readonly onDeviceLost: (guest: string, reason: string) => void
  /** Its state has changed. */
  readonly onState: (state: EngineState) => void
}

export interface EngineState {
  readonly state: 'running' | 'starting' | 'failed'
  readonly since?: string
  readonly restarts: number
  readonly message?: string
}

const FIRST_DELAY_MS = 50
const LONGEST_DELAY_MS = 5_000
/** An engine that lived this long had not failed to start. */
const SOUND_MS = 10_000
/** How often it is asked whether it is alive, and how long it has for the answer. */
const ASK_EVERY_MS = 5_000
const ANSWER_WITHIN_MS = 10_000

export class EngineSupervisor implements AsyncDisposable {
  readonly #options: SupervisorOptions
  readonly #stop = new AbortController()
  #client: NetEngineClient | undefined
  #state: EngineState = { state: 'starting', restarts: 0 }
  #running: Promise<void> | undefined
  /** The engine of this attempt is one that we began. */
  #hasStarted = false

  constructor(options: SupervisorOptions) {
    this.#options = options
  }

  get state(): EngineState {
    return this.#state
  }

  /** The connection that is there now. */
  get client(): NetEngineClient | undefined {
    return this.#client
  }

  /** Begins. Resolves when an engine is there, or the first attempt has failed: from then on it goes on by itself. */
  async open(): Promise<void> {
    const first = Promise.withResolvers<void>()
    this.#running = this.#run(first.resolve)
    await first.promise
  }

  /** Lets go of the engine, which goes on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    this.#client?.[Symbol.dispose]()
    await this.#running
  }

  async #run(onFirst: () => void): Promise<void> {
    let failures = 0
    while (!this.#stop.signal.aborted) {
      const beganAt = performance.now()
      try {
        const reason = await this.#live(onFirst)
        if (this.#stop.signal.aborted) break
        this.#options.log(`The network engine is gone: ${reason}`)
        failures = performance.now() - beganAt < SOUND_MS ? failures + 1 : 1
        this.#set({ state: 'starting', restarts: this.#state.restarts + 1, message: reason })
      } catch (error) {
        failures++
        const message = error instanceof Error ? error.message : String(error)
        if (this.#state.message !== message) this.#options.log(message)
        this.#set({ state: 'failed', restarts: this.#state.restarts, message })
      }
      onFirst()
      // The first time at once: guests have no network meanwhile.
      const waitMs = failures <= 1 ? 0 : Math.min(FIRST_DELAY_MS * 2 ** (failures - 2), LONGEST_DELAY_MS)
      await delay(waitMs, undefined, { signal: this.#stop.signal }).catch(() => undefined)
    }
    onFirst()
  }

  /** From the connection to its end; returns how it ended. Throws where there was none. */
  async #live(onFirst: () => void): Promise<string> {
    using client = await this.#connect()
    using rawIcmp = openRawIcmp(this.#options.log)
    const ready = await this.#greet(client, rawIcmp)
    if (!this.#hasStarted && ready.version !== this.#options.version) {
      client.end()
      await client.closed
      return `it was of version ${ready.version}, this core host is of ${this.#options.version}`
    }
    this.#client = client
    this.#set({ state: 'running', since: ready.startedAt, restarts: this.#state.restarts })
    this.#options.onConnected(client, ready)
    onFirst()
    const ended = new AbortController()
    try {
      const hung = this.#watch(client, AbortSignal.any([this.#stop.signal, ended.signal]))
      const { message, cause } = await Promise.race([client.closed, hung])
      return cause instanceof Error ? cause.message : message
    } finally {
      ended.abort()
      this.#client = undefined
    }
  }

  /** An engine that hangs does not keep the core host from starting: it is ended, and the next attempt starts another. */
  async #greet(client: NetEngineClient, rawIcmp: RawIcmp): Promise<EngineReady> {
    const answered = new AbortController()
    const silence = delay(ANSWER_WITHIN_MS, undefined, {
      signal: AbortSignal.any([this.#stop.signal, answered.signal]),
    }).then(
      () => client.kill(),
      () => undefined,
    )
    try {
      return await client.hello(this.#options.settings, rawIcmp)
    } finally {
      answered.abort()
      await silence
    }
  }

  async #connect(): Promise<NetEngineClient> {
    this.#hasStarted = false
    const { socketPath, settings, uid, gid, execPath, log } = this.#options
    try {
      return this.#attach()
    } catch (error) {
      if (!isSystemError(error, 'ENOENT', 'ECONNREFUSED')) throw error
    }
    this.#hasStarted = true
    await startEngine({ socketPath, uid, gid, execPath, descriptors: settings.limits.descriptors, log })
    return this.#attach()
  }

  #attach(): NetEngineClient {
    const { socketPath, log, onDeviceLost } = this.#options
    return NetEngineClient.connect(socketPath, {
      log: (message) => log(`network engine: ${message}`),
      onDeviceLost,
    })
  }

  /** Asks again and again; an engine that gives no answer is ended. Never rejects, resolves only then. */
  async #watch(client: NetEngineClient, signal: AbortSignal): Promise<Error> {
    while (!signal.aborted) {
      await delay(ASK_EVERY_MS, undefined, { signal }).catch(() => undefined)
      if (signal.aborted) break
      const answered = await Promise.race([
        client.settle().then(
          () => true,
          () => true, // It ends, or says something wrong: the connection tells.
        ),
        delay(ANSWER_WITHIN_MS, false, { signal }).catch(() => true),
      ])
      if (answered) continue
      client.kill()
      return new Error(`it gave no answer within ${ANSWER_WITHIN_MS} ms`)
    }
    return await new Promise<never>(() => {})
  }

  #set(state: EngineState): void {
    this.#state = state
    this.#options.onState(state)
  }
}
