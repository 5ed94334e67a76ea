// One instance at a time: the first listens on a socket in the app's own folder, a second one tells it that it
// came and what it was asked for (app.requestSingleInstanceLock).
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'

type OnSecond = (argv: string[], folder: string, additional: unknown) => void

/** True where this is the first instance of the app with this folder. */
export function takeInstanceLock(userData: string, additional: unknown, onSecond: OnSecond): boolean {
  const path = join(userData, 'instance.sock')
  const greeting = JSON.stringify({ argv: process.argv, folder: process.cwd(), additional })
  if (isAnswered(path, greeting)) return false
  rmSync(path, { force: true })
  const server = createServer((socket) => {
    const chunks: Buffer[] = []
    socket.on('data', (chunk) => chunks.push(chunk))
    socket.on('error', () => undefined)
    socket.on('end', () => {
      const second = JSON.parse(Buffer.concat(chunks).toString()) as {
        argv: string[]
        folder: string
        additional: unknown
      }
      onSecond(second.argv, second.folder, second.additional)
    })
  })
  server.listen(path)
  process.on('exit', () => rmSync(path, { force: true }))
  return true
}

/**
 * Electron's call answers at once, a connection in Node does not: a child process asks and this one waits for it.
 */
function isAnswered(path: string, greeting: string): boolean {
  const script = `
    const socket = require('node:net').connect(process.argv[1])
    socket.on('connect', () => socket.end(process.argv[2], () => process.exit(0)))
    socket.on('error', () => process.exit(1))`
  const { NODE_OPTIONS: _, ...environment } = process.env
  return spawnSync(process.execPath, ['-e', script, path, greeting], { env: environment }).status === 0
}
