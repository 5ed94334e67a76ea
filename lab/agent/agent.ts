// The lab's hand inside dom0. It is started before the snapshot is taken, so that it is warm in every restored
// machine; what makes a machine this lab's own (time, randomness, disks, secrets) comes with `settle`.

import { execFile } from 'node:child_process'
import { timingSafeEqual } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { promisify } from 'node:util'
import { ControlPort } from './control-port.ts'
import { mountCoreDisk, unmountCoreDisk } from './core-disk.ts'
import { CoreSupervisor } from './core-supervisor.ts'
import { serveOperation } from './operation.ts'
import { agentTcpPort, type ControlRequest, type OperationRequest, type SettleRequest } from './protocol.ts'

const run = promisify(execFile)
const stateFolder = '/mnt/state'
const maxPreambleBytes = 1024 * 1024

const port = new ControlPort()
const core = new CoreSupervisor((status) => port.send({ event: 'core', status }))
let token: string | undefined

const server = createServer({ noDelay: true }, (connection) => accept(connection))
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

async function settle(request: SettleRequest): Promise<void> {
  token = request.token
  await reseedRandomness(Buffer.from(request.entropy, 'base64'))
  await run('date', ['-s', `@${(request.timeMs / 1000).toFixed(3)}`])
  await run('hostname', [request.hostName])
  if (request.coreToken === undefined) return
  core.setToken(request.coreToken)
  await mountCoreDisk()
  mkdirSync(stateFolder, { recursive: true })
  await run('mount', ['-t', 'ext4', '-o', 'noatime,discard', '/dev/vdc', stateFolder])
  for (const kind of ['lib', 'log']) {
    mkdirSync(`${stateFolder}/${kind}`, { recursive: true })
    await run('mount', ['--bind', `${stateFolder}/${kind}`, `/var/${kind}/bulkhead`])
  }
}

/**
 * Two machines from one snapshot would otherwise draw the same random numbers. What is written to the device only
 * joins the pool; RNDRESEEDCRNG (linux/random.h) makes the kernel draw from it at once.
 */
async function reseedRandomness(entropy: Buffer): Promise<void> {
  writeFileSync('/dev/urandom', entropy)
  await run('perl', ['-e', 'open(RANDOM, ">", "/dev/urandom") && ioctl(RANDOM, 0x5207, 0) or die "$!"'])
}

/** Reads the two lines that a connection begins with; one without the right token is closed without a word. */
function accept(connection: Socket): void {
  let pending = Buffer.alloc(0)
  connection.on('error', () => connection.destroy())
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
      const request = JSON.parse(pending.toString('utf8', first + 1, second)) as OperationRequest
      serveOperation(connection, request, pending.subarray(second + 1))
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
