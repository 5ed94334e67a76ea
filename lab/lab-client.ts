// Talks to a lab's daemon: requests with one answer, the progress of its start, and programs in dom0.

import { connect, type Socket } from 'node:net'
import { basename, dirname } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import {
  type ExitStatus,
  encodeFrame,
  type Failure,
  FrameReader,
  fromAgent,
  LineReader,
  maxFrameBytes,
  type OperationRequest,
  type TerminalSize,
  toAgent,
} from './agent/protocol.ts'
import type { LabAnswer, LabRequest } from './daemon/messages.ts'
import { LabError } from './errors.ts'

/** Whether something listens on the lab's socket. */
export function isListening(labSocket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = connect(labSocket)
    connection.on('connect', () => {
      connection.destroy()
      resolve(true)
    })
    connection.on('error', () => resolve(false))
  })
}

/** Sends a request and resolves with its result; `progress` lines before it go to `report`. */
export function requestLab(
  labSocket: string,
  request: LabRequest,
  report: (line: string) => void = () => {},
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const connection = connect(labSocket)
    const lines = new LineReader()
    connection.on('data', (chunk) => {
      for (const line of lines.push(chunk)) {
        const answer = JSON.parse(line) as LabAnswer
        if ('progress' in answer) report(answer.progress)
        else if ('error' in answer) {
          const { code, message, hint } = answer.error
          reject(new LabError(code, message, { hint }))
        } else resolve(answer.result)
      }
    })
    connection.on('error', (cause) => reject(unreachable(labSocket, cause)))
    connection.on('close', () => reject(new LabError('lab.gone', 'Cannot reach the lab: its process ended')))
    connection.write(`${JSON.stringify(request)}\n`)
  })
}

export interface OperationStreams {
  readonly stdin: Readable | undefined
  readonly stdout: Writable
  readonly stderr: Writable
  /** Gives the operation up; a program that runs is ended with SIGKILL. */
  readonly signal?: AbortSignal | undefined
}

export interface Operation {
  readonly exit: Promise<ExitStatus>
  sendSignal(name: string): void
  resize(size: TerminalSize): void
}

/** Starts an operation in dom0; its `exit` rejects with `lab.exec` when it cannot be started. */
export function startOperation(
  labSocket: string,
  request: OperationRequest,
  streams: OperationStreams,
): Operation {
  const connection = connect(labSocket)
  connection.write(`${JSON.stringify(request)}\n`)
  const exit = new Promise<ExitStatus>((resolve, reject) => {
    const frames = new FrameReader()
    const take = ({ kind, payload }: { kind: number; payload: Buffer }) => {
      if (kind === fromAgent.stdout) deliver(connection, streams.stdout, payload)
      else if (kind === fromAgent.stderr) deliver(connection, streams.stderr, payload)
      else if (kind === fromAgent.exit) resolve(JSON.parse(payload.toString()) as ExitStatus)
      else if (kind === fromAgent.failure) reject(failure(request, payload))
    }
    connection.on('data', (chunk) => {
      try {
        for (const frame of frames.push(chunk)) take(frame)
      } catch (cause) {
        connection.destroy()
        reject(new LabError('lab.protocol', `Cannot understand the lab: ${String(cause)}`, { cause }))
      }
    })
    connection.on('error', (cause) => reject(unreachable(labSocket, cause)))
    connection.on('close', () =>
      reject(new LabError('lab.gone', `Cannot ${nameOf(request)} in the lab: the connection ended`)),
    )
    streams.signal?.addEventListener('abort', () => reject(streams.signal?.reason))
  }).finally(() => connection.destroy())
  sendInput(connection, streams.stdin)
  return {
    exit,
    sendSignal: (name) => connection.write(encodeFrame(toAgent.signal, name)),
    resize: ({ rows, columns }) => {
      const size = Buffer.alloc(4)
      size.writeUInt16LE(rows, 0)
      size.writeUInt16LE(columns, 2)
      connection.write(encodeFrame(toAgent.resize, size))
    },
  }
}

/** Writes output on; whoever does not take it makes the program in dom0 wait. */
function deliver(connection: Socket, output: Writable, payload: Buffer): void {
  if (output.write(payload)) return
  connection.pause()
  output.once('drain', () => connection.resume())
}

function sendInput(connection: Socket, input: Readable | undefined): void {
  if (!input) {
    connection.write(encodeFrame(toAgent.stdinEnd))
    return
  }
  input.on('data', (data: Buffer | string) => {
    const chunk = Buffer.from(data)
    for (let at = 0; at < chunk.length; at += maxFrameBytes) {
      connection.write(encodeFrame(toAgent.stdin, chunk.subarray(at, at + maxFrameBytes)))
    }
    if (!connection.writableNeedDrain) return
    input.pause()
    connection.once('drain', () => input.resume())
  })
  input.on('end', () => connection.write(encodeFrame(toAgent.stdinEnd)))
  connection.on('close', () => input.pause())
}

function failure(request: OperationRequest, payload: Buffer): LabError {
  const { code, message, hint } = JSON.parse(payload.toString()) as Failure
  if (code !== undefined) return new LabError(code, message, { hint })
  return new LabError('lab.exec', `Cannot ${nameOf(request)} in the lab: ${message}`)
}

function nameOf(request: OperationRequest): string {
  switch (request.verb) {
    case 'exec':
      return `run ${request.argv[0]}`
    case 'readFile':
      return `read ${request.path}`
    case 'writeFile':
      return `write ${request.path}`
  }
}

/** The error for a lab of which a socket does not answer. */
export function unreachable(socketPath: string, cause: NodeJS.ErrnoException): LabError {
  const name = basename(dirname(socketPath))
  const isDown = cause.code === 'ENOENT' || cause.code === 'ECONNREFUSED'
  const reason = isDown ? 'it is not running' : cause.message
  return new LabError('lab.down', `Cannot reach the lab "${name}": ${reason}`, {
    hint: `Start it: bulkhead lab up --name ${name}`,
    cause,
  })
}
