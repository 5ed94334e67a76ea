// The xenstore client: nodes, transactions, watches, and introducing domains, on one connection.
import type { DomainId } from '../domain-id.ts'
import { isXenError, XenError } from '../errors.ts'
import { XenstoreConnection } from './connection.ts'
import { type CallOptions, ConnectionNodes, type XenstoreNodes } from './nodes.ts'
import { checkWatchPath } from './path.ts'
import type { OpenTransport } from './transport.ts'
import { Watch } from './watch.ts'
import { decodeText, encodeStrings, MESSAGE } from './wire.ts'

export interface IntroduceOptions {
  /** The frame of the domain's xenstore ring. */
  readonly ringFrame: bigint
  /** The domain's port for it. */
  readonly eventChannelPort: number
}

/** Conflicts are short; this many in a row mean that something else is wrong. */
const MAX_TRANSACTION_ATTEMPTS = 100

export class Xenstore extends ConnectionNodes implements Disposable {
  readonly #connection: XenstoreConnection
  readonly #watches: Map<string, Watch>
  /** Resolves with the reason when the connection has ended. */
  readonly closed: Promise<XenError>
  #lastToken = 0

  private constructor(
    connection: XenstoreConnection,
    watches: Map<string, Watch>,
    closed: Promise<XenError>,
  ) {
    super(connection, 0)
    this.#connection = connection
    this.#watches = watches
    this.closed = closed
  }

  /** Connects over the given transport. Rejects where xenstored cannot be reached. */
  static async connect(openTransport: OpenTransport): Promise<Xenstore> {
    const watches = new Map<string, Watch>()
    const { promise: closed, resolve } = Promise.withResolvers<XenError>()
    const connection = await XenstoreConnection.open(openTransport, {
      onWatchEvent: (path, token) => watches.get(token)?.notify(path),
      onLost(error) {
        for (const watch of watches.values()) watch.finish(error)
        watches.clear()
        resolve(error)
      },
    })
    return new Xenstore(connection, watches, closed)
  }

  get transportName(): string {
    return this.#connection.transport.name
  }

  /**
   * Runs `change` in a transaction and commits it; when it throws, nothing has changed. On a conflict with
   * somebody else's change it runs again from the start, so it must do nothing but use the nodes it is given.
   */
  async transaction<T>(change: (nodes: XenstoreNodes) => Promise<T>, options: CallOptions = {}): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      options.signal?.throwIfAborted()
      // Without the signal: a transaction that was started must be ended.
      const answer = await this.#connection.request({
        type: MESSAGE.transactionStart,
        payload: encodeStrings(''),
        action: 'start a xenstore transaction',
      })
      const transactionId = parseTransactionId(answer)
      let result: T
      try {
        result = await change(new ConnectionNodes(this.#connection, transactionId))
        options.signal?.throwIfAborted()
      } catch (error) {
        await this.#endTransaction(transactionId, false).catch(ignoreLost)
        throw error
      }
      try {
        await this.#endTransaction(transactionId, true)
        return result
      } catch (error) {
        if (!isXenError(error, 'EAGAIN') || attempt >= MAX_TRANSACTION_ATTEMPTS) throw error
      }
    }
  }

  /** Watches a node and all below it, or `@introduceDomain` or `@releaseDomain`. */
  async watch(path: string, { signal }: CallOptions = {}): Promise<Watch> {
    signal?.throwIfAborted()
    const token = String(++this.#lastToken)
    const abort = (): void => {
      watch.finish(signal?.reason)
      void stop().catch(ignoreLost)
    }
    const stop = async (): Promise<void> => {
      signal?.removeEventListener('abort', abort)
      if (!this.#watches.delete(token)) return
      await this.#connection
        .request({
          type: MESSAGE.unwatch,
          payload: encodeStrings(path, token),
          action: `stop watching "${path}"`,
        })
        .catch(ignoreLost)
    }
    const watch = new Watch(path, token, stop)
    // Before the request: the first event may come before the answer.
    this.#watches.set(token, watch)
    try {
      await this.#connection.request({
        type: MESSAGE.watch,
        payload: encodeStrings(checkWatchPath(path), token),
        action: `watch "${path}"`,
      })
    } catch (error) {
      this.#watches.delete(token)
      throw error
    }
    signal?.addEventListener('abort', abort, { once: true })
    if (signal?.aborted) abort()
    return watch
  }

  /** Reads `path` now and after each change of it until `test` returns something for its value. */
  async waitFor<T>(
    path: string,
    test: (value: string | undefined) => T | undefined,
    options: CallOptions = {},
  ): Promise<T> {
    await using watch = await this.watch(path, options)
    for await (const _changed of watch) {
      const result = test(await this.read(path, options))
      if (result !== undefined) return result
    }
    throw new XenError('xenstore-lost', `Cannot wait for "${path}": the watch has ended`)
  }

  /** Makes xenstored serve a domain: it maps the domain's ring and binds its port. */
  async introduce(domid: DomainId, options: IntroduceOptions): Promise<void> {
    await this.#connection.request({
      type: MESSAGE.introduce,
      payload: encodeStrings(String(domid), String(options.ringFrame), String(options.eventChannelPort)),
      action: `introduce domain ${domid} to xenstored`,
    })
  }

  /** Ends xenstored's service for a domain. */
  async release(domid: DomainId): Promise<void> {
    await this.#connection.request({
      type: MESSAGE.release,
      payload: encodeStrings(String(domid)),
      action: `release domain ${domid} from xenstored`,
    })
  }

  async isIntroduced(domid: DomainId): Promise<boolean> {
    const answer = await this.#connection.request({
      type: MESSAGE.isDomainIntroduced,
      payload: encodeStrings(String(domid)),
      action: `ask xenstored about domain ${domid}`,
    })
    return decodeText(answer) === 'T'
  }

  /** Ends the connection; xenstored forgets its watches and open transactions. */
  close(): void {
    this.#connection.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  async #endTransaction(transactionId: number, commit: boolean): Promise<void> {
    await this.#connection.request({
      type: MESSAGE.transactionEnd,
      payload: encodeStrings(commit ? 'T' : 'F'),
      action: `${commit ? 'commit' : 'abandon'} a xenstore transaction`,
      transactionId,
    })
  }
}

function parseTransactionId(payload: Buffer): number {
  const text = decodeText(payload)
  if (!/^[0-9]{1,10}$/.test(text)) {
    throw new XenError('xenstore-protocol', `Cannot use ${JSON.stringify(text)} as a transaction's number`)
  }
  return Number(text)
}

/** A connection that is gone has already ended what was to be ended. */
function ignoreLost(error: unknown): void {
  if (error instanceof XenError) return
  throw error
}
