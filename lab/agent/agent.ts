// The lab's hand inside dom0. It is started before the snapshot is taken, so that it is warm in every restored
// machine; what makes a machine this lab's own (time, randomness, disks, secrets) comes with `settle`.

import { execFile } from 'node:child_process'
import { timingSafeEqual } from 'node:crypto'
import { createServer, type Socket } from 'node:net'
import { promisify } from 'node:util'
import { ControlPort } from './control-port.ts'
import { mountCoreDisk, unmountCoreDisk } from './core-disk.ts'
import { CoreSupervisor } from './core-supervisor.ts'
import { serveOperation } from './operation.ts'
import { servePort } from './port-relay.ts'
import {
  agentTcpPort,
  type ConnectRequest,
  type ControlRequest,
  type OperationRequest,
  type SettleRequest,
} from './protocol.ts'

const run = promisify(execFile)
const stateFolder = '/mnt/state'
const maxPreambleBytes = 1024 * 1024

const port = new ControlPort()
const core = new CoreSupervisor((status) => port.send({ event: 'core', status }))
let token: string | undefined

const server = createServer({ noDelay: true, allowHalfOpen: true }, (connection) => accept(connection))
server.listen(agentTcpPort, '0.0.0.0', () => port.send({ event: 'ready' }))

await port.receive((line) => {
  const request = JSON.parse(line) as ControlRequest & { id: number }
  answer(request).then(
    (result) => port.send({ id: request.id, result: result ?? null }),
    (error: unknown) =>
      port.send({ id: request.id, error: error instanceof Error ? error.message : String(error) }),
  )
})

async function answer(request: ControlRequest): Promise<unknown> {
  switch (request.verb) {
    case 'ping':
      return undefined
    case 'settle':
      return settle(request)
    case 'core':
      if (request.action === 'start') core.start()
      if (request.action === 'stop') await core.stop()
      if (request.action === 'restart') await core.restart()
      if (request.action === 'kill') await core.kill(request.signal ?? 'SIGKILL')
      return core.status()
    case 'coreDisk':
      return request.action === 'mount' ? mountCoreDisk() : unmountCoreDisk()
    case 'poweroff':
      await core.stop()
      await run('sync')
      await run('mount', ['-o', 'remount,ro', stateFolder]).catch(() => {})
      await run('poweroff', ['-f'])
  }
}

/** Takes the secrets and lets a script do the rest: under emulation each program started from Node costs. */
async function settle(request: SettleRequest): Promise<void> {
  token = request.token
  if (request.coreToken !== undefined) core.setToken(request.coreToken)
  const seconds = (request.timeMs / 1000).toFixed(3)
  const script = run('/opt/lab/settle', [
    seconds,
    request.hostName,
    request.coreToken === undefined ? 'keep' : 'mount',
  ])
  script.child.stdin?.end(Buffer.from(request.entropy, 'base64'))
  await script
}

/** Reads the two lines that a connection begins with; one without the right token is closed without a word. */
function accept(connection: Socket): void {
  let pending = Buffer.alloc(0)
  connection.on('error', () => connection.destroy())
  const endToo = () => connection.end()
  connection.on('end', endToo)
  const onData = (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk])
    const first = pending.indexOf('\n')
    const second = first < 0 ? -1 : pending.indexOf('\n', first + 1)
    if (second < 0) {
      if (pending.length > maxPreambleBytes) connection.destroy()
      return
    }
    connection.off('data', onData)
    if (!isToken(pending.toString('latin1', 0, first))) return void connection.destroy()
    try {
      const request = JSON.parse(pending.toString('utf8', first + 1, second)) as
        | OperationRequest
        | ConnectRequest
      const early = pending.subarray(second + 1)
      if (request.verb === 'connect') servePort(connection.off('end', endToo), request, early)
      else serveOperation(connection, request, early)
    } catch {
      connection.destroy()
    }
  }
  connection.on('data', onData)
}

function isToken(line: string): boolean {
  const given = Buffer.from(line)
  const expected = Buffer.from(`token ${token}`)
  return token !== undefined && given.length === expected.length && timingSafeEqual(given, expected)
}
