// JSON-RPC on an accepted connection: parses parameters, checks the caller's role, calls the handler, makes
// errors into what clients understand. docs/contracts/control.md.
import type { Socket } from 'node:net'
import {
  type CancellationToken,
  createMessageConnection,
  ErrorCodes,
  ResponseError,
  StreamMessageReader,
  StreamMessageWriter,
} from 'vscode-jsonrpc/node'
import { z } from 'zod'
import type { EventNotification, MethodName, ParsedParamsOf, ResultOf } from '../api/methods.ts'
import { methodSchemas } from '../api/schemas/methods.ts'
import { applicationError } from '../api/wire.ts'
import { BulkheadError } from '../errors.ts'
import { errorBody } from '../runtime/jobs.ts'
import type { Role } from './authorisation.ts'
import { HostError } from './errors.ts'

export interface CallContext {
  /** Aborted when the client cancels the call or goes away. */
  readonly signal: AbortSignal
  /** Stands for the connection: the same object in all of its calls, and in no other's. */
  readonly caller: object
  /** Sends events to this client until it goes away; returns the revision before the first one. */
  subscribe(): number
}

export type Handlers = {
  readonly [M in Exclude<MethodName, 'events.subscribe'>]: (
    params: ParsedParamsOf<M>,
    context: CallContext,
  ) => Promise<ResultOf<M>> | ResultOf<M>
}

export interface RpcOptions {
  readonly handlers: Handlers
  readonly revision: () => number
  readonly subscribe: (listener: (notification: EventNotification) => void) => () => void
  readonly log: (message: string) => void
}

const changesNothing: ReadonlySet<MethodName> = new Set([
  'host.info',
  'host.check',
  'images.list',
  'images.inspect',
  'guests.list',
  'guests.inspect',
  'guests.wait',
  'network.list',
  'network.stats',
  'network.flows',
  'jobs.list',
  'jobs.get',
  'events.subscribe',
])

/** Serves `socket` until it closes. */
export function serveRpc(socket: Socket, role: Role, options: RpcOptions): Promise<void> {
  const gone = new AbortController()
  const caller = {}
  const connection = createMessageConnection(new StreamMessageReader(socket), new StreamMessageWriter(socket))
  let unsubscribe: (() => void) | undefined
  const subscribe = () => {
    unsubscribe ??= options.subscribe((notification) => {
      // A client that is gone between two events: 'close' ends the subscription.
      connection.sendNotification('event', notification).catch(() => undefined)
    })
    return options.revision()
  }

  connection.onRequest(async (method: string, params: unknown, token: CancellationToken) => {
    const call = new AbortController()
    token.onCancellationRequested(() => call.abort())
    try {
      return await dispatch(method, params, role, options.handlers, {
        signal: AbortSignal.any([gone.signal, call.signal]),
        caller,
        subscribe,
      })
    } catch (error) {
      if (!(error instanceof BulkheadError) && !(error instanceof ResponseError))
        options.log(`${method} failed: ${error instanceof Error ? error.stack : String(error)}`)
      throw asResponseError(error, call.signal.aborted)
    }
  })

  return new Promise((resolve) => {
    const finish = () => {
      gone.abort()
      unsubscribe?.()
      connection.dispose()
      socket.destroy()
      resolve()
    }
    connection.onClose(finish)
    connection.onError(([error]) => options.log(`A control connection broke: ${error.message}`))
    socket.once('close', finish)
    // The server's sockets may be half open, for streams; a control connection has no use for that.
    socket.once('end', finish)
    connection.listen()
  })
}

async function dispatch(
  method: string,
  params: unknown,
  role: Role,
  handlers: Handlers,
  context: CallContext,
): Promise<unknown> {
  if (!isMethod(method))
    throw new ResponseError(ErrorCodes.MethodNotFound, `This core host has no method "${method}"`)
  if (role !== 'manage' && !changesNothing.has(method))
    throw new HostError('host.not-allowed', `You may look, but not call "${method}"`, {
      hint: 'As root: adduser YOUR-NAME bulkhead, then log in again.',
    })
  if (method === 'events.subscribe') return { revision: context.subscribe() }
  const parsed = methodSchemas[method].params.safeParse(params ?? {})
  if (!parsed.success) throw badParameters(method, parsed.error)
  const handler = handlers[method] as (params: unknown, context: CallContext) => unknown
  return await handler(parsed.data, context)
}

function isMethod(method: string): method is MethodName {
  return Object.hasOwn(methodSchemas, method)
}

function badParameters(method: string, error: z.ZodError): ResponseError<unknown> {
  const [issue] = error.issues
  const where = issue?.path.join('.') ?? ''
  const what = issue?.message ?? 'invalid'
  return new ResponseError(
    ErrorCodes.InvalidParams,
    `Cannot call ${method}: ${where === '' ? '' : `"${where}": `}${what}`,
    {
      code: 'host.bad-parameters',
      data: { issues: z.treeifyError(error) },
    },
  )
}

function asResponseError(error: unknown, isCancelled: boolean): ResponseError<unknown> {
  if (error instanceof ResponseError) return error
  if (isCancelled) return new ResponseError(-32800, 'The call was cancelled', { code: 'host.cancelled' })
  const { message, ...data } = errorBody(error)
  return new ResponseError(applicationError, message, data)
}
