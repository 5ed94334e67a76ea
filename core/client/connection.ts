// The first line of a connection and the answer to it: the same for calls and for streams. What can go wrong
// before the first byte is told apart here, each in one sentence. docs/contracts/control.md.
import { connect, type Socket } from 'node:net'
import { clientError, coreErrorFromBody } from './core-error.ts'
import type { CoreTarget } from './target.ts'

export interface ConnectOptions {
  readonly signal?: AbortSignal | undefined
  /** How long the core host may take to answer the first line. */
  readonly answerTimeoutMs?: number
}

export interface AnsweredConnection {
  /** Paused, with the bytes after the answer not yet read. */
  readonly socket: Socket
  /** The JSON of the `ok` line. */
  readonly answer: unknown
}

const longestAnswerBytes = 65536

/** Connects, sends `line`, and returns the connection once the core host has taken it. */
export async function openConnection(
  target: CoreTarget,
  line: string,
  options: ConnectOptions = {},
): Promise<AnsweredConnection> {
  const { signal, answerTimeoutMs = 20_000 } = options
  if (signal?.aborted) throw cancelled(target)
  const socket = connect(target.socketPath)
  const { promise: givenUp, reject: giveUp } = Promise.withResolvers<never>()
  const onAbort = () => giveUp(cancelled(target))
  signal?.addEventListener('abort', onAbort, { once: true })
  const timer = setTimeout(() => giveUp(timedOut(target, answerTimeoutMs)), answerTimeoutMs)
  try {
    const answerLine = await Promise.race([exchangeLines(socket, line, target), givenUp])
    return { socket, answer: readAnswer(answerLine, target) }
  } catch (error) {
    socket.on('error', () => {}) // It is given up already; what else happens to it is of no interest.
    socket.destroy()
    throw error
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', onAbort)
  }
}

function exchangeLines(socket: Socket, line: string, target: CoreTarget): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  let received: Buffer = Buffer.alloc(0)
  const onData = (chunk: Buffer) => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk])
    const end = received.indexOf(10)
    if (end === -1) {
      if (received.length > longestAnswerBytes) reject(notCore(target))
      return
    }
    socket.pause()
    stopListening()
    const rest = received.subarray(end + 1)
    if (rest.length > 0) socket.unshift(rest)
    resolve(received.toString('utf8', 0, end))
  }
  const onError = (error: NodeJS.ErrnoException) => reject(unreachable(target, error))
  const onClose = () => reject(hungUp(target))
  const stopListening = () => {
    socket.off('data', onData).off('error', onError).off('close', onClose).off('end', onClose)
  }
  socket.on('data', onData).on('error', onError).on('close', onClose).on('end', onClose)
  socket.write(`${line}\n`)
  return promise
}

function readAnswer(line: string, target: CoreTarget): unknown {
  const match = /^(ok|refused) (.*)$/s.exec(line)
  if (match === null) throw notCore(target)
  const [, word, json = ''] = match
  let body: unknown
  try {
    body = JSON.parse(json)
  } catch {
    throw notCore(target)
  }
  if (word === 'ok') return body
  throw coreErrorFromBody(body, {
    code: 'client.no-access',
    message: `Cannot use ${target.label}: it refused the connection`,
  })
}

function unreachable(target: CoreTarget, error: NodeJS.ErrnoException) {
  const { label, socketPath } = target
  switch (error.code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return clientError('client.no-socket', `Cannot reach ${label}: there is no socket at ${socketPath}`, {
        hint: howToStart(target),
        cause: error,
      })
    case 'ECONNREFUSED':
    case 'ENOTSOCK':
      return clientError('client.not-running', `Cannot reach ${label}: nothing answers at ${socketPath}`, {
        hint: howToStart(target),
        cause: error,
      })
    case 'EACCES':
    case 'EPERM':
      return clientError(
        'client.no-access',
        `Cannot reach ${label}: ${socketPath} may not be opened by you`,
        {
          hint: 'Ask for membership of the group "bulkhead", or run the command as root.',
          cause: error,
        },
      )
    case 'ECONNRESET':
    case 'EPIPE':
      return hungUp(target)
    default:
      return clientError('client.unreachable', `Cannot reach ${label}: ${error.message}`, { cause: error })
  }
}

function howToStart(target: CoreTarget): string {
  if (target.kind === 'lab') return 'Boot the lab with "bulkhead lab up".'
  if (target.kind === 'local') return 'Start it with "systemctl start bulkhead", or start the Bulkhead app.'
  return 'See whether the path is right and a core host is running there.'
}

function hungUp(target: CoreTarget) {
  const { label, kind } = target
  return clientError('client.connection-lost', `Cannot reach ${label}: it closed the connection at once`, {
    hint:
      kind === 'lab'
        ? 'Its core host may be starting: see "bulkhead lab status", and wait for it with "bulkhead lab up".'
        : 'It may be starting or stopping: try again in a moment.',
  })
}

function notCore(target: CoreTarget) {
  return clientError('client.not-core', `What answers at ${target.socketPath} is no core host of Bulkhead`, {
    hint: 'See whether the path is right.',
  })
}

function timedOut(target: CoreTarget, timeoutMs: number) {
  return clientError(
    'client.timeout',
    `Cannot reach ${target.label}: it took the connection and did not answer for ${timeoutMs / 1000} s`,
    { hint: target.kind === 'lab' ? 'See what the lab says with "bulkhead lab console".' : undefined },
  )
}

function cancelled(target: CoreTarget) {
  return clientError('client.cancelled', `The connection to ${target.label} was given up`)
}
