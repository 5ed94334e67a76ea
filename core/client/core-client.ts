// A connection to the core host: typed calls, events, and streams. Used by the command line and by the app's main
// process; whatever goes wrong arrives as one CoreError with a sentence. docs/contracts/control.md.
import {
  CancellationTokenSource,
  createMessageConnection,
  ErrorCodes,
  ResponseError,
  StreamMessageReader,
  StreamMessageWriter,
} from 'vscode-jsonrpc/node'
import type { EventNotification, MethodName, ParamsOf, ResultOf } from '../api/methods.ts'
import { protocolVersion, rpcLine } from '../api/wire.ts'
import { type ConnectOptions, openConnection } from './connection.ts'
import { type CoreError, clientError, coreErrorFromBody, isRecord } from './core-error.ts'
import { type CoreStream, openCoreStream, type StreamReader } from './core-stream.ts'
import type { CoreTarget } from './target.ts'

export interface CallOptions {
  /** Aborting asks the core host to stop the work and rejects at once with `client.cancelled`. */
  readonly signal?: AbortSignal | undefined
}

export interface CoreClient extends Disposable {
  readonly target: CoreTarget
  /** Version of the core host. */
  readonly version: string
  /** Calls a method. Rejects with a CoreError: the core host's own, or a `client.*` one. */
  request<M extends MethodName>(method: M, params: ParamsOf<M>, options?: CallOptions): Promise<ResultOf<M>>
  /** Hears every event, in order. The core host sends them after `events.subscribe`. */
  onEvent(listener: (notification: EventNotification) => void): Disposable
  /** Opens the stream that a ticket stands for; its bytes go to `reader`. */
  openStream(ticket: string, reader?: StreamReader, options?: CallOptions): Promise<CoreStream>
  /** Fulfilled when the connection is over: with what went wrong, or with nothing after `dispose`. */
  readonly closed: Promise<CoreError | undefined>
  /** Ends the connection; calls that wait are rejected with `client.closed`. Streams go on. */
  dispose(): void
}

/** Connects to a core host and agrees on the protocol with it. */
export async function connectCore(target: CoreTarget, options: ConnectOptions = {}): Promise<CoreClient> {
  const { socket, answer } = await openConnection(target, rpcLine, options)
  const version =
    isRecord(answer) && typeof answer.version === 'string' ? answer.version : 'of an unknown version'
  const protocol = isRecord(answer) ? answer.protocol : undefined
  if (protocol !== protocolVersion) {
    socket.destroy()
    throw clientError(
      'client.wrong-protocol',
      `Cannot use ${target.label}: it speaks protocol ${String(protocol)} (core host ${version}), this client ${protocolVersion}`,
      { hint: 'Update the older of the two.' },
    )
  }

  const connection = createMessageConnection(new StreamMessageReader(socket), new StreamMessageWriter(socket))
  const listeners = new Set<(notification: EventNotification) => void>()
  const closed = Promise.withResolvers<CoreError | undefined>()
  let failure: CoreError | undefined
  const waiting = new Set<(error: CoreError) => void>()

  const close = (error: CoreError, reason: CoreError | undefined) => {
    if (failure !== undefined) return
    failure = error
    for (const reject of waiting) reject(error)
    connection.dispose()
    socket.destroy()
    closed.resolve(reason)
  }
  const lose = (cause?: unknown) => {
    const error = connectionLost(target, cause)
    close(error, error)
  }
  socket.on('error', lose)
  connection.onError(([error]) => lose(error))
  connection.onClose(() => lose())
  connection.onNotification('event', (notification: EventNotification) => {
    for (const listener of listeners) listener(notification)
  })
  connection.listen()
  socket.resume()

  const client: CoreClient = {
    target,
    version,
    closed: closed.promise,
    request: async <M extends MethodName>(method: M, params: ParamsOf<M>, { signal }: CallOptions = {}) => {
      if (failure !== undefined) throw failure
      const givenUp = () => clientError('client.cancelled', `The call of ${method} was given up`)
      if (signal?.aborted) throw givenUp()
      const cancellation = new CancellationTokenSource()
      const { promise: interrupted, reject } = Promise.withResolvers<never>()
      const onAbort = () => {
        cancellation.cancel()
        reject(givenUp())
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      waiting.add(reject)
      try {
        const answered = connection.sendRequest<ResultOf<M>>(method, params, cancellation.token)
        answered.catch(() => {}) // After an interruption nobody else waits for it.
        return await Promise.race([answered, interrupted])
      } catch (error) {
        throw error instanceof ResponseError ? errorOfResponse(error, method, client) : error
      } finally {
        waiting.delete(reject)
        signal?.removeEventListener('abort', onAbort)
      }
    },
    onEvent: (listener) => {
      listeners.add(listener)
      return { [Symbol.dispose]: () => void listeners.delete(listener) }
    },
    openStream: (ticket, reader, callOptions) => openCoreStream(target, ticket, reader, callOptions),
    dispose: () =>
      close(clientError('client.closed', `The connection to ${target.label} was closed`), undefined),
    [Symbol.dispose]: () => client.dispose(),
  }
  return client
}

function errorOfResponse(error: ResponseError<unknown>, method: string, client: CoreClient): CoreError {
  if (error.code === ErrorCodes.MethodNotFound)
    return clientError('client.unsupported', `The core host (${client.version}) does not know ${method}`, {
      hint: 'Update the core host.',
      cause: error,
    })
  const body = isRecord(error.data) ? error.data : {}
  return coreErrorFromBody(
    { ...body, message: error.message },
    { code: 'client.unsupported', message: `The core host failed in ${method} and did not say why` },
  )
}

function connectionLost(target: CoreTarget, cause: unknown): CoreError {
  return clientError('client.connection-lost', `The connection to ${target.label} was lost`, {
    hint: 'Guests go on without it: see how they are with "bulkhead ps".',
    cause,
  })
}
