import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { peerCredentials } from './peer-credentials.ts'

let folder: string
let server: net.Server

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'peer-'))
  server = net.createServer()
})
afterEach(() => {
  server.close()
  rmSync(folder, { recursive: true })
})

async function listen(target: string | number): Promise<void> {
  server.listen(target)
  await once(server, 'listening')
}

async function accept(): Promise<net.Socket> {
  const [socket] = await once(server, 'connection')
  return socket as net.Socket
}

test('names the process, user and group that connected', async () => {
  const path = join(folder, 'socket')
  await listen(path)
  const script = `require('net').connect(${JSON.stringify(path)}).on('close', () => process.exit())`
  const child = spawn(process.execPath, ['-e', script])
  const socket = await accept()
  expect(peerCredentials(socket)).toEqual({
    pid: child.pid,
    uid: process.getuid?.(),
    gid: process.getgid?.(),
  })
  socket.destroy()
  await once(child, 'exit')
})

test('refuses a TCP connection', async () => {
  await listen(0)
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const client = net.connect(address.port, '127.0.0.1')
  const socket = await accept()
  expect(() => peerCredentials(socket)).toThrow(/Cannot /)
  socket.destroy()
  client.destroy()
})

test('refuses a connection that is closed', async () => {
  const path = join(folder, 'socket')
  await listen(path)
  const client = net.connect(path)
  const socket = await accept()
  socket.destroy()
  await once(socket, 'close')
  expect(() => peerCredentials(socket)).toThrow('the connection is closed')
  client.destroy()
})
