// On a dom0: makes sure that a core host answers, starting one from this source tree where none does.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

const socketPath = '/run/bulkhead/core.sock'
const startsWithinMs = 30_000

/** Whether this machine is a Xen control domain. */
export function isDom0(): boolean {
  return (
    existsSync('/proc/xen/capabilities') &&
    readFileSync('/proc/xen/capabilities', 'utf8').includes('control_d')
  )
}

export async function ensureCoreHost(root: string, report: (line: string) => void): Promise<void> {
  if (await answers()) return
  const isRoot = process.getuid?.() === 0
  report(
    `Starting the core host${isRoot ? '' : ' (sudo will ask for your password: it owns the hypervisor)'}`,
  )
  if (!isRoot && spawnSync('sudo', ['-v'], { stdio: 'inherit' }).status !== 0)
    throw new Error('Cannot start the core host without root')
  const program = [
    process.execPath,
    join(root, 'dist/core/core-host.js'),
    '--owner',
    String(process.getuid?.() ?? 0),
  ]
  const [file = '', ...args] = isRoot ? program : ['sudo', '-n', ...program]
  const child = spawn(file, args, { stdio: ['ignore', 'ignore', 'pipe'], detached: true })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const deadline = performance.now() + startsWithinMs
  while (!(await answers())) {
    const isOver = await Promise.race([ended.then(() => true), delay(100).then(() => false)])
    if (isOver || performance.now() > deadline)
      throw new Error(`Cannot start the core host: ${said.trim() || 'it does not answer'}`)
  }
  child.stderr.destroy()
  child.unref()
}

function answers(): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
