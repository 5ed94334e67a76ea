// The image worker: a process of its own, under a user of its own without rights, that takes foreign bytes apart so that
// the core host does not have to. The core host starts it (image-worker-client.ts) with two unix socket pairs:
// descriptor 3 carries JSON-RPC (image-worker-protocol.ts), descriptor 4 the bytes of archives (byte-lane.ts). It owns
// `store/` and `images/` under the root that it is given, and ends when the core host does.

import { Socket } from 'node:net'
import {
  type CancellationToken,
  createMessageConnection,
  type MessageConnection,
  ResponseError,
  StreamMessageReader,
  StreamMessageWriter,
} from 'vscode-jsonrpc/node'
import { BulkheadError } from '../errors.ts'
import { ByteLane } from './byte-lane.ts'
import { OciError } from './errors.ts'
import { type CallContext, ImageService } from './image-service.ts'
import {
  APPLICATION_ERROR,
  type ParametersOf,
  PROGRESS,
  type ResultOf,
  type WorkerMethod,
} from './image-worker-protocol.ts'
import { ProgressValve } from './progress.ts'

leaveRoot(process.argv.find((argument) => argument.startsWith('--user='))?.slice('--user='.length))
// Nothing that it writes is for others, except what is given another mode on purpose.
process.umask(0o077)

const rpcSocket = new Socket({ fd: 3, readable: true, writable: true })
const connection = createMessageConnection(
  new StreamMessageReader(rpcSocket),
  new StreamMessageWriter(rpcSocket),
)
const log = (message: string) => process.stderr.write(`${message}\n`)
const lane = new ByteLane(new Socket({ fd: 4, readable: true, writable: true }), log)
let service: ImageService | undefined
/** Aborted when the core host is gone. */
const leaving = new AbortController()
// Who read it may be gone first.
process.stderr.on('error', () => {})

type Handler<M extends WorkerMethod> = (
  parameters: ParametersOf[M],
  context: CallContext,
) => Promise<ResultOf<M>>

handle('open', async (parameters) => {
  service = await ImageService.open(parameters, log)
  return null
})
handle('list', () => opened().list())
handle('inspect', (parameters) => opened().inspect(parameters))
handle('pull', (parameters, context) => opened().pull(parameters, context))
handle('tag', (parameters) => opened().tag(parameters))
handle('remove', (parameters) => opened().remove(parameters))
handle('prune', (parameters) => opened().prune(parameters))
handle('check', (parameters, context) => opened().check(parameters, context))
handle('tags', (parameters, context) => opened().tags(parameters, context))
handle('checkRegistry', (parameters, context) => opened().checkRegistry(parameters, context))
handle('verify', (parameters, context) => opened().verify(parameters, context))
handle('sweep', (parameters) => opened().sweep(parameters))
handle('rootImage', (parameters, context) => opened().rootImage(parameters, context))
handle('import', async (parameters, context) => {
  using archive = lane.receive(parameters.stream)
  // Careful: without await the archive would be closed while it is read.
  return await opened().import(parameters, archive, context)
})
handle('export', (parameters, context) =>
  opened().export(parameters, (bytes) => lane.send(parameters.stream, bytes, context.signal), context),
)

connection.onClose(leave)
rpcSocket.once('close', leave)
connection.listen()

/** Becomes the user `UID:GID` for good: no other groups, no capabilities (Linux clears them with the last root id). */
function leaveRoot(user: string | undefined): void {
  if (user === undefined || process.getuid?.() !== 0) return
  const [uid, gid] = user.split(':').map(Number)
  if (!uid || !gid) throw new Error(`Cannot run the image worker as "${user}": that is root or nobody`)
  process.setgroups?.([])
  process.setgid?.(gid)
  process.setuid?.(uid)
}

/** The core host is gone. Segments that are made get their places; everything half done is dropped at the next start. */
async function leave(): Promise<void> {
  if (leaving.signal.aborted) return
  leaving.abort()
  try {
    await service?.[Symbol.asyncDispose]()
  } finally {
    process.exit(0)
  }
}

function opened(): ImageService {
  if (service === undefined)
    throw new OciError('oci.internal', 'Cannot use the image store: it has not been opened')
  return service
}

function handle<M extends WorkerMethod>(method: M, handler: Handler<M>): void {
  connection.onRequest(method, async (parameters: ParametersOf[M], token: CancellationToken) => {
    const call = new AbortController()
    token.onCancellationRequested(() => call.abort())
    using valve = new ProgressValve((progress) => report(connection, parameters, progress))
    try {
      const signal = AbortSignal.any([call.signal, leaving.signal])
      return await handler(parameters, { signal, onProgress: valve.report })
    } catch (error) {
      throw toResponseError(method, error)
    }
  })
}

function report(to: MessageConnection, parameters: object, progress: unknown): void {
  if (!('progressToken' in parameters) || typeof parameters.progressToken !== 'number') return
  to.sendProgress(PROGRESS, parameters.progressToken, progress).catch((error: unknown) =>
    log(`Progress was lost: ${String(error)}`),
  )
}

function toResponseError(method: string, error: unknown): ResponseError<unknown> {
  if (error instanceof BulkheadError) {
    const { code, hint, data } = error
    return new ResponseError(APPLICATION_ERROR, error.message, { code, hint, data })
  }
  log(`${method} failed: ${error instanceof Error ? error.stack : String(error)}`)
  const message = error instanceof Error ? error.message : String(error)
  return new ResponseError(APPLICATION_ERROR, `The image worker failed: ${message}`, { code: 'oci.internal' })
}
