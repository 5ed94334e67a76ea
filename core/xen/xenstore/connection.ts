// Requests to xenstored and their answers on one transport: matches them by request id, names errors, and
// hands watch events on.
import { XenError } from '../errors.ts'
import type { OpenTransport, XenstoreTransport } from './transport.ts'
import { decodeStrings, decodeText, encodeMessage, MESSAGE, type Message } from './wire.ts'

export interface Request {
  readonly type: number
  readonly payload: Buffer
  /** For the error's sentence: `write "/a/b"`. */
  readonly action: string
  readonly transactionId?: number
  readonly signal?: AbortSignal | undefined
}

interface Pending {
  readonly type: number
  readonly action: string
  resolve(payload: Buffer): void
  reject(error: unknown): void
}

export interface WatchEvents {
  onWatchEvent(path: string, token: string): void
  onLost(error: XenError): void
}

export class XenstoreConnection {
  readonly transport: XenstoreTransport
  readonly #pending: Map<number, Pending>
  readonly #state: { failure: XenError | undefined }
  #lastRequestId = 0

  private constructor(
    transport: XenstoreTransport,
    pending: Map<number, Pending>,
    state: { failure: XenError | undefined },
  ) {
    this.transport = transport
    this.#pending = pending
    this.#state = state
  }

  static async open(openTransport: OpenTransport, events: WatchEvents): Promise<XenstoreConnection> {
    const pending = new Map<number, Pending>()
    const state: { failure: XenError | undefined } = { failure: undefined }
    const transport = await openTransport({
      onMessage(message) {
        if (message.type === MESSAGE.watchEvent) {
          const [path, token] = decodeStrings(message.payload)
          if (path !== undefined && token !== undefined) events.onWatchEvent(path, token)
          return
        }
        const request = pending.get(message.requestId)
        // The answer to a request whose caller gave up.
        if (request === undefined) return
        pending.delete(message.requestId)
        settle(request, message)
      },
      onClose(cause) {
        const failure = new XenError(
          'xenstore-lost',
          cause === undefined
            ? 'Cannot use xenstore: the connection is closed'
            : `Cannot use xenstore: the connection is lost (${cause.message})`,
          { cause },
        )
        state.failure = failure
        for (const request of pending.values()) request.reject(failure)
        pending.clear()
        events.onLost(failure)
      },
    })
    return new XenstoreConnection(transport, pending, state)
  }

  /** Sends a request: the answer's payload. Throws XenError; aborting only stops the waiting. */
  request({ type, payload, action, transactionId = 0, signal }: Request): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted()
      if (this.#state.failure !== undefined) throw this.#state.failure
      if (payload.length > this.transport.maxPayloadBytes) {
        throw new XenError(
          'xenstore-protocol',
          `Cannot ${action}: ${payload.length} bytes are more than ${this.transport.maxPayloadBytes}`,
        )
      }
      const requestId = this.#nextRequestId()
      const abort = (): void => {
        this.#pending.delete(requestId)
        reject(signal?.reason)
      }
      signal?.addEventListener('abort', abort, { once: true })
      this.#pending.set(requestId, {
        type,
        action,
        resolve(answer) {
          signal?.removeEventListener('abort', abort)
          resolve(answer)
        },
        reject(error) {
          signal?.removeEventListener('abort', abort)
          reject(error)
        },
      })
      try {
        this.transport.send(encodeMessage({ type, requestId, transactionId, payload }))
      } catch (error) {
        this.#pending.delete(requestId)
        signal?.removeEventListener('abort', abort)
        throw error
      }
    })
  }

  close(): void {
    this.transport.close()
  }

  #nextRequestId(): number {
    do this.#lastRequestId = (this.#lastRequestId + 1) >>> 0
    while (this.#lastRequestId === 0 || this.#pending.has(this.#lastRequestId))
    return this.#lastRequestId
  }
}

function settle(request: Pending, message: Message): void {
  if (message.type === MESSAGE.error) {
    const errorName = decodeText(message.payload)
    request.reject(
      new XenError('xenstore-failed', `Cannot ${request.action}: ${describe(errorName)}`, { errorName }),
    )
  } else if (message.type !== request.type) {
    request.reject(
      new XenError(
        'xenstore-protocol',
        `Cannot ${request.action}: xenstored answered with a message of type ${message.type}`,
      ),
    )
  } else {
    request.resolve(message.payload)
  }
}

const explanations: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  ENOENT: 'the node does not exist',
  EAGAIN: 'another transaction was faster',
  ENOSPC: "the domain's quota is used up",
  E2BIG: 'it is too big for one message',
}

function describe(errorName: string): string {
  const explanation = explanations[errorName]
  return explanation === undefined ? `xenstored answered ${errorName}` : `${explanation} (${errorName})`
}
