// The daemon's sockets: what clients may ask of a lab.

import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { encodeFrame, fromAgent } from '../agent/protocol.ts'
import { LabError } from '../errors.ts'
import { carry, connectToDom0 } from './dom0-connection.ts'
import type { LabAnswer, LabRequest } from './messages.ts'
import type { RunningLab } from './running-lab.ts'

const maxRequestBytes = 1024 * 1024
/** How much of the console a newly attached client is shown. */
const consoleHistoryBytes = 16 * 1024

/** Opens the lab's three sockets; `onDown` is called once a client has asked for the end. */
export async function serveLab(lab: RunningLab, onDown: () => Promise<void>): Promise<Server[]> {
  const { files } = lab.config
  return Promise.all([
    listen(files.labSocket, (connection) => serveRequest(lab, connection, onDown)),
    listen(files.coreSocket, (connection) => {
      if (!lab.isReachable) return void connection.destroy()
      const { port, token } = lab.dom0.core
      carry(connection, connectToDom0(port, token))
    }),
    listen(files.consoleSocket, (connection) => serveConsole(lab, connection)),
  ])
}

function listen(path: string, onConnection: (connection: Socket) => void): Promise<Server> {
  rmSync(path, { force: true })
  return new Promise((resolve, reject) => {
    const server = createServer({ allowHalfOpen: true }, onConnection)
    server.on('error', reject)
    server.listen(path, () => {
      chmodSync(path, 0o600)
      resolve(server)
    })
  })
}

function serveConsole(lab: RunningLab, connection: Socket): void {
  connection.on('error', () => {})
  const { consoleLog } = lab.config.files
  if (existsSync(consoleLog)) connection.write(readFileSync(consoleLog).subarray(-consoleHistoryBytes))
  const { machine } = lab
  if (!machine) return void connection.end()
  const onOutput = (chunk: Buffer) => connection.write(chunk)
  machine.console.on('data', onOutput)
  machine.console.once('close', () => connection.end())
  connection.on('data', (chunk) => machine.console.write(chunk))
  connection.on('end', () => connection.end())
  connection.on('close', () => machine.console.off('data', onOutput))
}

function serveRequest(lab: RunningLab, connection: Socket, onDown: () => Promise<void>): void {
  let pending = Buffer.alloc(0)
  connection.on('error', () => connection.destroy())
  const onData = (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk])
    const end = pending.indexOf('\n')
    if (end < 0) {
      if (pending.length > maxRequestBytes) connection.destroy()
      return
    }
    connection.off('data', onData)
    connection.pause()
    const rest = pending.subarray(end + 1)
    const line = pending.toString('utf8', 0, end)
    answer(lab, connection, { line, rest, onDown }).catch((error: unknown) => refuse(connection, line, error))
  }
  connection.on('data', onData)
}

/** Tells why a request failed, in the way that its asker reads: as a line, or for operations as a frame. */
function refuse(connection: Socket, line: string, error: unknown): void {
  const known =
    error instanceof LabError
      ? error
      : new LabError('lab.request', `Cannot answer the request: ${String(error)}`)
  const { code, message, hint } = known
  const isOperation = /"verb":"(exec|readFile|writeFile)"/.test(line)
  if (isOperation) connection.end(encodeFrame(fromAgent.failure, JSON.stringify({ code, message, hint })))
  else connection.end(`${JSON.stringify({ error: { code, message, hint } } satisfies LabAnswer)}\n`)
}

interface RequestLine {
  readonly line: string
  readonly rest: Buffer
  readonly onDown: () => Promise<void>
}

async function answer(
  lab: RunningLab,
  connection: Socket,
  { line, rest, onDown }: RequestLine,
): Promise<void> {
  const request = JSON.parse(line) as LabRequest
  const finish = (result: unknown) => {
    send(connection, { result: result ?? null })
    connection.end()
  }
  switch (request.verb) {
    case 'status':
      return finish(lab.status())
    case 'watch': {
      const onProgress = (progress: string) => send(connection, { progress })
      onProgress(lab.status().detail)
      lab.on('progress', onProgress)
      await lab.whenReady().finally(() => lab.off('progress', onProgress))
      return finish(lab.status())
    }
    case 'down':
      await onDown()
      return finish(null)
    case 'forward':
      return finish(await lab.dom0.forwards.add(request.protocol, request.dom0Port, request.hostPort))
    case 'unforward':
      return finish(await lab.dom0.forwards.remove(request.protocol, request.hostPort))
    case 'deliverCore':
      return finish(await lab.dom0.core.deliver(request.image))
    case 'awaitCore':
      return finish(await lab.dom0.core.awaitAnswer())
    case 'core':
      return finish(await lab.dom0.core.request(request))
    case 'exec':
    case 'readFile':
    case 'writeFile': {
      // Reaching dom0 needs the machine, even where the core host has not come up.
      if (!lab.isReachable) await lab.whenReady()
      const inner = connectToDom0(lab.dom0.agentPort, lab.agentToken)
      inner.write(`${line}\n`)
      inner.write(rest)
      return carry(connection, inner)
    }
  }
}

function send(connection: Socket, answer: LabAnswer): void {
  connection.write(`${JSON.stringify(answer)}\n`)
}

/** Says who runs this lab, for people who look into the folder. */
export function writeIdentity(lab: RunningLab): void {
  const { name, daemonProcessId, startedAt } = lab.status()
  writeFileSync(
    `${lab.config.files.folder}/lab.json`,
    `${JSON.stringify({ name, daemonProcessId, startedAt, bootId: bootId() }, null, 2)}\n`,
  )
}

function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
}
