// One operation on a connection of its own: run a program with separate stdout and stderr, or on a terminal; read
// or write a file. When the connection ends early, the program is ended too.

import { type ChildProcess, spawn } from 'node:child_process'
import { createReadStream, createWriteStream } from 'node:fs'
import type { Socket } from 'node:net'
import { constants } from 'node:os'
import type { Readable, Writable } from 'node:stream'
import {
  type ExecRequest,
  type ExitStatus,
  encodeFrame,
  FrameReader,
  fromAgent,
  maxFrameBytes,
  type OperationRequest,
  toAgent,
} from './protocol.ts'
import { onTerminal, resizeTerminal } from './terminal.ts'

/** Serves `request` on `connection`, of which `early` has been read already. */
export function serveOperation(connection: Socket, request: OperationRequest, early: Buffer): void {
  switch (request.verb) {
    case 'exec':
      serveExec(connection, request, early)
      break
    case 'readFile':
      serveReadFile(connection, request.path)
      break
    case 'writeFile':
      serveWriteFile(connection, request, early)
      break
  }
}

function serveExec(connection: Socket, request: ExecRequest, early: Buffer): void {
  const [program = '', ...args] = request.terminal ? onTerminal(request.argv, request.terminal) : request.argv
  const child = spawn(program, args, {
    cwd: request.cwd ?? '/root',
    env: { ...process.env, ...(request.terminal ? { TERM: 'xterm-256color' } : {}), ...request.env },
    detached: true,
    stdio: 'pipe',
  })
  // A program that reads no input is no error.
  child.stdin.on('error', () => {})
  let hasEnded = false
  child.on('error', (error) => {
    hasEnded = true
    fail(connection, error)
  })
  sendOutput(child.stdout, connection, fromAgent.stdout)
  sendOutput(child.stderr, connection, fromAgent.stderr)
  child.on('close', (code, signal) => {
    if (!hasEnded) finish(connection, { code, signal })
    hasEnded = true
  })
  receiveInput(connection, early, {
    input: child.stdin,
    onOther(kind, payload) {
      if (kind === toAgent.signal) signalGroup(child, payload.toString())
      if (kind === toAgent.resize && request.terminal) resizeTerminal(child, payload)
    },
  })
  connection.on('close', () => {
    if (!hasEnded) signalGroup(child, 'SIGKILL')
  })
}

function serveReadFile(connection: Socket, path: string): void {
  const file = createReadStream(path)
  sendOutput(file, connection, fromAgent.stdout)
  file.on('error', (error) => fail(connection, error))
  file.on('end', () => finish(connection, { code: 0, signal: null }))
  connection.on('close', () => file.destroy())
  // Only so that the end of the connection is noticed.
  connection.resume()
}

function serveWriteFile(
  connection: Socket,
  { path, mode }: { path: string; mode: number },
  early: Buffer,
): void {
  const file = createWriteStream(path, { mode })
  file.on('error', (error) => fail(connection, error))
  file.on('finish', () => finish(connection, { code: 0, signal: null }))
  connection.on('close', () => file.destroy())
  receiveInput(connection, early, { input: file, onOther() {} })
}

/** Output of `source` as frames; a client that does not read makes the program wait. */
function sendOutput(source: Readable, connection: Socket, kind: number): void {
  source.on('data', (chunk: Buffer) => {
    for (let at = 0; at < chunk.length; at += maxFrameBytes) {
      connection.write(encodeFrame(kind, chunk.subarray(at, at + maxFrameBytes)))
    }
    if (!connection.writableNeedDrain) return
    source.pause()
    connection.once('drain', () => source.resume())
  })
}

interface InputSink {
  readonly input: Writable
  onOther(kind: number, payload: Buffer): void
}

/** Frames from the client to the program's input; a program that does not read makes the client wait. */
function receiveInput(connection: Socket, early: Buffer, { input, onOther }: InputSink): void {
  const frames = new FrameReader()
  const take = (chunk: Buffer) => {
    for (const { kind, payload } of frames.push(chunk)) {
      if (kind === toAgent.stdinEnd) input.end()
      else if (kind !== toAgent.stdin) onOther(kind, payload)
      // The payload is a view of a buffer that the reader keeps, hence the copy.
      else if (input.writable) input.write(Buffer.from(payload))
    }
    if (input.writableNeedDrain) connection.pause()
  }
  input.on('drain', () => connection.resume())
  input.on('close', () => connection.resume())
  connection.on('data', (chunk: Buffer) => {
    try {
      take(chunk)
    } catch {
      connection.destroy()
    }
  })
  take(early)
}

function finish(connection: Socket, status: ExitStatus): void {
  connection.end(encodeFrame(fromAgent.exit, JSON.stringify(status)))
}

function fail(connection: Socket, error: Error): void {
  connection.end(encodeFrame(fromAgent.failure, JSON.stringify({ message: error.message })))
}

function signalGroup(child: ChildProcess, name: string): void {
  const signal = Object.entries(constants.signals).find(([known]) => known === name)?.[1]
  if (child.pid === undefined || signal === undefined) return
  try {
    process.kill(-child.pid, signal)
  } catch {
    // The group ended in the meantime.
  }
}
