// Follows the core host of a lab: which ports its guests publish, now and after every change. A core host that is
// started anew is followed again. docs/contracts/control.md.

import { once } from 'node:events'
import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { createMessageConnection, StreamMessageReader, StreamMessageWriter } from 'vscode-jsonrpc/node'
import type { EventNotification, GuestSummary, PublishedPort } from '../../core/api/methods.ts'

const againMs = 500
const longestGreetingBytes = 65_536

/** Calls `onPorts` until `signal` aborts; never rejects. `open` connects to the core host, its token sent. */
export async function followPorts(
  open: () => Socket,
  onPorts: (ports: readonly PublishedPort[]) => void,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const socket = open()
    const stop = () => socket.destroy()
    signal.addEventListener('abort', stop, { once: true })
    // What goes wrong ends the connection; then it is tried again.
    await follow(socket, onPorts).catch(() => {})
    socket.destroy()
    signal.removeEventListener('abort', stop)
    await delay(againMs, undefined, { signal }).catch(() => {})
  }
}

async function follow(socket: Socket, onPorts: (ports: readonly PublishedPort[]) => void): Promise<void> {
  socket.on('error', () => {})
  const closed = once(socket, 'close')
  socket.write('rpc 1\n')
  if (!(await readGreeting(socket)).startsWith('ok ')) return
  const connection = createMessageConnection(new StreamMessageReader(socket), new StreamMessageWriter(socket))
  connection.onError(() => socket.destroy())
  const ports = new Map<string, readonly PublishedPort[]>()
  const tell = () => onPorts([...ports.values()].flat())
  connection.onNotification('event', ({ event }: EventNotification) => {
    if (event.type === 'guest') ports.set(event.guest.id, event.guest.ports)
    else if (event.type === 'guest-removed') ports.delete(event.id)
    else return
    tell()
  })
  connection.listen()
  socket.resume()
  await connection.sendRequest('events.subscribe', {})
  const guests = await connection.sendRequest<GuestSummary[]>('guests.list', { all: false })
  for (const guest of guests) ports.set(guest.id, guest.ports)
  tell()
  await closed
  connection.dispose()
}

/** The line before the first message; what comes after it stays to be read. */
function readGreeting(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0)
    const onData = (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
      const end = received.indexOf('\n')
      if (end < 0 && received.length < longestGreetingBytes) return
      socket.off('data', onData).pause()
      socket.unshift(received.subarray(end + 1))
      resolve(received.toString('utf8', 0, Math.max(end, 0)))
    }
    socket.on('data', onData)
    socket.once('close', () => reject(new Error('The core host has closed the connection')))
  })
}
