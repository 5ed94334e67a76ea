// One run of the image worker process, seen from the core host: started with its socket pairs, asked over RPC, and noticed
// when it ends.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { createInterface } from 'node:readline'
import type { Duplex } from 'node:stream'
import { fileURLToPath } from 'node:url'
import {
  CancellationTokenSource,
  createMessageConnection,
  ErrorCodes,
  type MessageConnection,
  NullLogger,
  ResponseError,
  StreamMessageReader,
  StreamMessageWriter,
} from 'vscode-jsonrpc/node'
import { ByteLane } from './byte-lane.ts'
import { cancelled, OciError, type OciErrorCode } from './errors.ts'
import {
  errorDataSchema,
  imageProgressSchema,
  type ParametersOf,
  PROGRESS,
  RESULTS,
  type ResultOf,
  type WorkerMethod,
} from './image-worker-protocol.ts'
import type { OnProgress } from './progress.ts'

export interface WorkerProcessOptions {
  readonly uid?: number | undefined
  readonly gid?: number | undefined
  /** The Node program that runs it. */
  readonly execPath?: string | undefined
  readonly log: (message: string) => void
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: OnProgress | undefined
}

/** How long a worker that was told to end may take. */
const PATIENCE_MS = 5_000
/** What the worker may see of our environment: how to find programs and certificates, nothing else. */
const PASSED_ON = ['PATH', 'TZ', 'SSL_CERT_FILE', 'SSL_CERT_DIR', 'NODE_EXTRA_CA_CERTS'] as const
/** JSON-RPC errors that vscode-jsonrpc makes itself when the other side is gone. */
const BROKEN_CONNECTION: ReadonlySet<number> = new Set([
  ErrorCodes.MessageWriteError,
  ErrorCodes.MessageReadError,
  ErrorCodes.PendingResponseRejected,
  ErrorCodes.ConnectionInactive,
])
/**
 * Buffers of a layer that comes by count against the heap. With the small heap that V8 begins with, it would be collected
 * every ten MiB, which took a fifth of a build's processor time.
 */
const V8_OPTIONS = ['--initial-old-space-size=96']
/** Beside this file, as source and when bundled. */
const ENTRY = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? './image-worker.ts' : './image-worker.js', import.meta.url),
)

export class WorkerProcess {
  /** The bytes of archives, both ways. */
  readonly lane: ByteLane
  readonly #child: ChildProcess
  readonly #connection: MessageConnection
  /** Rejects when the process ends; nothing else settles it. */
  readonly #death: Promise<never>
  #isAlive = true
  #lastToken = 0

  constructor({ uid, gid, execPath = process.execPath, log }: WorkerProcessOptions) {
    // The worker leaves root by itself once its code is loaded: its user need not be able to read where we are installed.
    const user = uid === undefined ? [] : [`--user=${uid}:${gid ?? uid}`]
    const child = spawn(execPath, [...V8_OPTIONS, ENTRY, ...user], {
      cwd: '/',
      stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'],
      env: environment(),
    })
    const rpc = duplexOf(child, 3)
    // A worker that breaks the rules of its lane is not itself any more: its end is what its calls hear of.
    this.lane = new ByteLane(duplexOf(child, 4), (reason) => {
      log(reason)
      child.kill('SIGKILL')
    })
    this.#child = child
    this.#death = this.#watch(log)
    // Careful: a write to a worker that has just ended must not end the core host too; #death tells who waits.
    rpc.on('error', () => {})
    this.#connection = createMessageConnection(
      new StreamMessageReader(rpc),
      new StreamMessageWriter(rpc),
      NullLogger,
    )
    this.#connection.listen()
  }

  get isAlive(): boolean {
    return this.#isAlive
  }

  /** Its process id, for tests and logs. */
  get pid(): number | undefined {
    return this.#child.pid
  }

  /** Asks the worker for something. Throws the worker's errors, `oci.worker-died`, `oci.cancelled`. */
  async call<M extends WorkerMethod>(
    method: M,
    parameters: Omit<ParametersOf[M], 'progressToken'>,
    options: CallOptions = {},
  ): Promise<ResultOf<M>> {
    const { signal, onProgress } = options
    if (signal?.aborted === true) throw cancelled(`${method} an image`, signal.reason)
    using cancellation = cancellationFrom(signal)
    this.#lastToken += 1
    const progressToken = this.#lastToken
    const listener = this.#connection.onProgress(PROGRESS, progressToken, (value) => {
      const progress = imageProgressSchema.safeParse(value)
      if (progress.success) onProgress?.(progress.data)
    })
    try {
      const answer = this.#connection.sendRequest<unknown>(
        method,
        { ...parameters, progressToken },
        cancellation.token,
      )
      return parseResult(method, await Promise.race([answer, this.#death]))
    } catch (error) {
      throw await this.#explain(error)
    } finally {
      listener.dispose()
    }
  }

  /** Tells the worker to end, and waits until it has. */
  async end(): Promise<void> {
    if (!this.#isAlive) return
    const over = once(this.#child, 'close')
    this.#connection.end()
    this.lane.close()
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), PATIENCE_MS)
    await over
    clearTimeout(timer)
  }

  #watch(log: (message: string) => void): Promise<never> {
    const child = this.#child
    let lastLine = ''
    if (child.stderr !== null) {
      createInterface(child.stderr).on('line', (line) => {
        lastLine = line
        log(`image worker: ${line}`)
      })
    }
    const death = new Promise<never>((_, reject) => {
      const die = (how: string, cause?: unknown) => {
        this.#isAlive = false
        const detail = lastLine === '' ? '' : `: ${lastLine}`
        reject(
          new OciError('oci.worker-died', `The image worker ${how}${detail}`, {
            hint: 'Try again; a new one is started.',
            cause,
          }),
        )
      }
      child.once('error', (error) => die('could not be started', error))
      child.once('close', (code, signal) =>
        die(
          signal === null
            ? `ended with status ${code} while it worked on this`
            : `was ended by ${signal} while it worked on this`,
        ),
      )
    })
    // Nobody may be waiting when it ends.
    death.catch(() => {})
    return death
  }

  /** A connection that breaks is mostly the first sign of a process that ends. */
  async #explain(error: unknown): Promise<unknown> {
    if (error instanceof OciError) return error
    if (!(error instanceof ResponseError) || BROKEN_CONNECTION.has(error.code)) {
      return this.#death.catch((death: unknown) => death)
    }
    const data = errorDataSchema.safeParse(error.data)
    if (!data.success)
      return new OciError('oci.internal', `The image worker failed: ${error.message}`, { cause: error })
    const { code, ...details } = data.data
    return new OciError(code as OciErrorCode, error.message, details)
  }
}

function parseResult<M extends WorkerMethod>(method: M, answer: unknown): ResultOf<M> {
  const result = RESULTS[method].safeParse(answer)
  // Careful: the schema and its type come from one table, which TypeScript cannot follow through a generic key.
  if (result.success) return result.data as ResultOf<M>
  throw new OciError('oci.internal', `The image worker answered ${method} with something else`, {
    cause: result.error,
  })
}

function cancellationFrom(
  signal: AbortSignal | undefined,
): Disposable & Pick<CancellationTokenSource, 'token'> {
  const source = new CancellationTokenSource()
  const cancel = () => source.cancel()
  signal?.addEventListener('abort', cancel, { once: true })
  return {
    token: source.token,
    [Symbol.dispose]: () => {
      signal?.removeEventListener('abort', cancel)
      source.dispose()
    },
  }
}

function environment(): NodeJS.ProcessEnv {
  const result: NodeJS.ProcessEnv = {
    // Compression runs in libuv's pool: a thread for each processor, and two for files.
    UV_THREADPOOL_SIZE: String(availableParallelism() + 2),
    // glibc keeps memory apart for each thread; with two such arenas nothing is slower and a dozen MiB are saved.
    MALLOC_ARENA_MAX: '2',
  }
  for (const name of PASSED_ON) if (process.env[name] !== undefined) result[name] = process.env[name]
  return result
}

function duplexOf(child: ChildProcess, descriptor: number): Duplex {
  const stream = child.stdio[descriptor]
  if (stream === null || stream === undefined || !('write' in stream) || !('read' in stream)) {
    throw new OciError('oci.internal', `Cannot start the image worker: descriptor ${descriptor} is no socket`)
  }
  return stream as Duplex
}
