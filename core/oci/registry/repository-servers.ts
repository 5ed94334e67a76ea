// The servers that have a repository: mirrors in the order of the settings, then the registry itself. A mirror is a
// convenience: whatever is wrong with one, it is passed over, and what it says counts only as far as digests prove it.

import { hasCode, OciError } from '../errors.ts'
import { type ImageReference, registryEndpoint } from '../reference.ts'
import { type RetryPolicy, retrying, TransientFailure } from './backoff.ts'
import type { MirrorEndpoint, RegistryAccess } from './registry-access.ts'
import { RegistryConnection } from './registry-connection.ts'
import type { TimeLimits } from './time-limits.ts'

export interface ServersOptions {
  readonly retryPolicy: RetryPolicy
  readonly timeLimits?: TimeLimits | undefined
  /** Told of mirrors that were passed over. */
  readonly log?: ((message: string) => void) | undefined
}

export interface Question<T> {
  /** What the answer is known by: a tag is the server's word, a digest proves itself. */
  readonly by: 'tag' | 'digest'
  readonly signal: AbortSignal | undefined
  readonly ask: (connection: RegistryConnection) => Promise<T>
}

/** Errors that say nothing about the server. */
const OUR_OWN = ['oci.cancelled', 'oci.internal', 'oci.no-space'] as const

export class RepositoryServers implements AsyncDisposable {
  /** `registry/repository`. */
  readonly name: string
  readonly #options: ServersOptions
  readonly #registry: LazyConnection
  readonly #mirrors: { readonly settings: MirrorEndpoint; readonly connection: LazyConnection }[]
  readonly #retired: LazyConnection[] = []
  /** The registry itself could not be reached. */
  #isOffline = false
  #users = 0
  #isClosing = false

  constructor(
    { registry, repository }: ImageReference,
    { mirrors = [], ...access }: RegistryAccess,
    options: ServersOptions,
  ) {
    this.name = `${registry}/${repository}`
    this.#options = options
    const { timeLimits } = options
    const { proxy } = access
    this.#registry = new LazyConnection((signal) =>
      RegistryConnection.open(
        { host: registryEndpoint(registry), repository },
        { ...access, timeLimits, signal },
      ),
    )
    this.#mirrors = mirrors.map((settings) => {
      const { host, prefix, plainHttp, certificateAuthority, clientCertificate } = settings
      const target = {
        host: registryEndpoint(host),
        repository: prefix === undefined || prefix === '' ? repository : `${prefix}/${repository}`,
      }
      // Careful: never the registry's credentials; a mirror could be anybody's.
      const own = { plainHttp, certificateAuthority, clientCertificate, proxy, timeLimits }
      return {
        settings,
        connection: new LazyConnection((signal) => RegistryConnection.open(target, { ...own, signal })),
      }
    })
  }

  /** The host of the registry itself. */
  get registryHost(): string {
    return registryEndpoint(this.name.slice(0, this.name.indexOf('/')))
  }

  /** Asks the mirrors that are still good, then the registry, once each. Throws what the registry's answer throws. */
  async askOnce<T>({ by, signal, ask }: Question<T>): Promise<T> {
    for (const mirror of [...this.#mirrors]) {
      if (by === 'tag' && mirror.settings.digestsOnly === true) continue
      try {
        return await ask(await mirror.connection.get(signal))
      } catch (error) {
        if (signal?.aborted === true || !isServersFault(error)) throw error
        this.passOver(mirror.settings.host, error)
      }
    }
    return ask(await this.#registry.get(signal))
  }

  /** The same, and again after a while where the trouble may pass. `action` completes "Cannot …: cancelled". */
  askPatiently<T>(action: string, question: Question<T>): Promise<T> {
    return this.#patiently(action, question.signal, () => this.askOnce(question))
  }

  /**
   * Asks the registry itself, and the mirrors only while it cannot be reached: for what no digest proves, and for what a
   * mirror should not be able to hide.
   */
  async askRegistry<T>(action: string, question: Question<T>): Promise<T> {
    const { signal, ask } = question
    if (this.#isOffline) return this.askPatiently(action, question)
    try {
      return await this.#patiently(action, signal, async () => ask(await this.#registry.get(signal)))
    } catch (error) {
      if (!hasCode(error, 'oci.offline') || this.#mirrors.length === 0) throw error
      this.#isOffline = true
      return await this.askPatiently(action, question)
    }
  }

  /** Leaves a mirror out from now on. Answers whether there was such a mirror. */
  passOver(host: string, error: unknown): boolean {
    const position = this.#mirrors.findIndex(({ settings }) => settings.host === host)
    const [mirror] = position === -1 ? [] : this.#mirrors.splice(position, 1)
    if (mirror === undefined) return false
    const reason = error instanceof TransientFailure ? error.error.message : messageOf(error)
    this.#options.log?.(`The mirror ${host} of ${this.name} was passed over: ${reason}`)
    this.#retired.push(mirror.connection)
    return true
  }

  /** Which mirror a connection belongs to; undefined for the registry's. */
  mirrorOf(connection: RegistryConnection): string | undefined {
    return this.#mirrors.find((mirror) => mirror.connection.current === connection)?.settings.host
  }

  /** Keeps the connections open until it is disposed, though the servers are disposed before: others wait for a download. */
  use(): AsyncDisposable {
    this.#users += 1
    return {
      [Symbol.asyncDispose]: async () => {
        this.#users -= 1
        if (this.#isClosing && this.#users === 0) await this.#close()
      },
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosing = true
    if (this.#users === 0) await this.#close()
  }

  async #close(): Promise<void> {
    const all = [this.#registry, ...this.#mirrors.map(({ connection }) => connection), ...this.#retired]
    await Promise.all(all.map((connection) => connection[Symbol.asyncDispose]()))
  }

  #patiently<T>(action: string, signal: AbortSignal | undefined, attempt: () => Promise<T>): Promise<T> {
    return retrying(attempt, { policy: this.#options.retryPolicy, signal, action })
  }
}

/** A connection that is made when it is first needed, and again after a failure. */
class LazyConnection implements AsyncDisposable {
  readonly #open: (signal: AbortSignal | undefined) => Promise<RegistryConnection>
  #opening: Promise<RegistryConnection> | undefined
  /** The connection, once it is there. */
  current: RegistryConnection | undefined

  constructor(open: (signal: AbortSignal | undefined) => Promise<RegistryConnection>) {
    this.#open = open
  }

  async get(signal: AbortSignal | undefined): Promise<RegistryConnection> {
    this.#opening ??= this.#open(signal)
    const opening = this.#opening
    try {
      this.current = await opening
      return this.current
    } catch (error) {
      if (this.#opening === opening) this.#opening = undefined
      // Who began to connect has left; who waited for it has not.
      if (hasCode(error, 'oci.cancelled') && signal?.aborted !== true) return this.get(signal)
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const connection = await this.#opening?.catch(() => undefined)
    await connection?.[Symbol.asyncDispose]()
  }
}

/** Whether an error is about the server that was asked, and not about us. */
function isServersFault(error: unknown): boolean {
  if (error instanceof TransientFailure) return true
  return error instanceof OciError && !OUR_OWN.some((code) => error.code === code)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
