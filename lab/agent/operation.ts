// One operation on a connection of its own: run a program with separate stdout and stderr, or on a terminal; read
// or write a file. When the connection ends early, the program is ended too.

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { createReadStream, createWriteStream, readFileSync, readlinkSync } from 'node:fs'
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
  type TerminalSize,
  toAgent,
} from './protocol.ts'

/** Serves `request` on `connection`, of which `early` has been read already. */
export function serveOperation(connection: Socket, request: OperationRequest, early: Buffer): void {
  switch (request.verb) {
    case 'exec':
      return serveExec(connection, request, early)
    case 'readFile': {
      const file = createReadStream(request.path)
      forward(file, connection, fromAgent.stdout)
      file.on('error', (error) => fail(connection, error))
      file.on('end', () => finish(connection, { code: 0, signal: null }))
      return
    }
    case 'writeFile': {
      const file = createWriteStream(request.path, { mode: request.mode })
      file.on('error', (error) => fail(connection, error))
      file.on('finish', () => finish(connection, { code: 0, signal: null }))
      receive(connection, early, file, () => {})
      return
    }
  }
}

function serveExec(connection: Socket, request: ExecRequest, early: Buffer): void {
  const [program, ...args] = request.terminal ? onTerminal(request.argv, request.terminal) : request.argv
  if (program === undefined) return fail(connection, new Error('Cannot run a program: its name is missing'))
  const child = spawn(program, args, {
    cwd: request.cwd ?? '/root',
    env: { ...process.env, ...(request.terminal ? { TERM: 'xterm-256color' } : {}), ...request.env },
    detached: true,
    stdio: 'pipe',
  })
  // A program that reads no input is no error.
  child.stdin.on('error', () => {})
  let ended = false
  child.on('error', (error) => {
    ended = true
    fail(connection, error)
  })
  forward(child.stdout, connection, fromAgent.stdout)
  forward(child.stderr, connection, fromAgent.stderr)
  child.on('close', (code, signal) => {
    if (!ended) finish(connection, { code, signal })
    ended = true
  })
  receive(connection, early, child.stdin, (kind, payload) => {
    if (kind === toAgent.signal) signalGroup(child, payload.toString())
    if (kind === toAgent.resize && request.terminal) resize(child, payload)
  })
  connection.on('close', () => {
    if (!ended) signalGroup(child, 'SIGKILL')
  })
}

/** Output of `source` as frames; a client that does not read makes the program wait. */
function forward(source: Readable, connection: Socket, kind: number): void {
  source.on('data', (chunk: Buffer) => {
    let free = true
    for (let at = 0; at < chunk.length; at += maxFrameBytes) {
      free = connection.write(encodeFrame(kind, chunk.subarray(at, at + maxFrameBytes)))
    }
    if (free) return
    source.pause()
    connection.once('drain', () => source.resume())
  })
}

function receive(
  connection: Socket,
  early: Buffer,
  input: Writable,
  onOther: (kind: number, payload: Buffer) => void,
): void {
  const frames = new FrameReader()
  const take = (chunk: Buffer) => {
    for (const { kind, payload } of frames.push(chunk)) {
      if (kind === toAgent.stdinEnd) input.end()
      else if (kind !== toAgent.stdin) onOther(kind, payload)
      else if (!input.destroyed && !input.write(Buffer.from(payload))) {
        connection.pause()
        const resume = () => {
          input.off('drain', resume)
          input.off('close', resume)
          connection.resume()
        }
        input.once('drain', resume)
        input.once('close', resume)
      }
    }
  }
  connection.on('data', (chunk: Buffer) => {
    try {
      take(chunk)
    } catch {
      connection.destroy()
    }
  })
  if (early.length > 0) take(early)
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

/** script(1) is the one program in the lab that opens a terminal for another. */
function onTerminal(argv: readonly string[], size: TerminalSize): string[] {
  const quoted = argv.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')
  const command = `stty rows ${Number(size.rows)} cols ${Number(size.columns)}; exec ${quoted}`
  return ['script', '-q', '-e', '-f', '-c', command, '/dev/null']
}

function resize(script: ChildProcess, payload: Buffer): void {
  if (payload.length < 4 || script.pid === undefined) return
  try {
    const children = readFileSync(`/proc/${script.pid}/task/${script.pid}/children`, 'utf8').trim().split(' ')
    const terminal = readlinkSync(`/proc/${children[0]}/fd/0`)
    const [rows, columns] = [payload.readUInt16LE(0), payload.readUInt16LE(2)]
    execFile('stty', ['-F', terminal, 'rows', String(rows), 'cols', String(columns)], () => {})
  } catch {
    // The program ended in the meantime.
  }
}
