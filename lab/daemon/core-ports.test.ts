import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  createMessageConnection,
  type MessageConnection,
  StreamMessageReader,
  StreamMessageWriter,
} from 'vscode-jsonrpc/node'
import { followPorts } from './core-ports.ts'

const ports = (hostPort: number) => [{ protocol: 'tcp', bind: '', hostPort, guestPort: 80 }]

let server: Server
let socket: Socket | undefined
let core: MessageConnection | undefined
/** Port numbers, as they were told one after the other. */
let told: (readonly number[])[]
let heard = () => {}
let greeting = 'ok {"protocol":1}\n'
const stop = { controller: new AbortController() }
let following: Promise<void>

/** What a core host says to whoever comes: one guest, with the port 8000. */
function serve(connection: Socket): void {
  socket = connection
  connection.on('error', () => {})
  connection.once('data', () => {
    connection.write(greeting)
    core = createMessageConnection(new StreamMessageReader(connection), new StreamMessageWriter(connection))
    core.onRequest('events.subscribe', () => ({ revision: 1 }))
    core.onRequest('guests.list', () => [{ id: 'a', ports: ports(8000) }])
    core.listen()
  })
}

beforeEach(async () => {
  told = []
  greeting = 'ok {"protocol":1}\n'
  stop.controller = new AbortController()
  server = createServer(serve)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
})
afterEach(async () => {
  stop.controller.abort()
  await following
  socket?.destroy()
  server.close()
})

function follow(): void {
  const open = () => connect((server.address() as AddressInfo).port, '127.0.0.1')
  following = followPorts(
    open,
    (list) => {
      told.push(list.map(({ hostPort }) => hostPort))
      heard()
    },
    stop.controller.signal,
  )
}

/** Resolves when the ports have been told so often. */
function toldTimes(count: number): Promise<void> {
  return new Promise((resolve) => {
    heard = () => {
      if (told.length >= count) resolve()
    }
    heard()
  })
}

test('the ports of all guests are told at once, and again when one of them changes or goes', async () => {
  follow()
  await toldTimes(1)
  const say = (event: object) => core?.sendNotification('event', { revision: 2, event })
  await say({ type: 'guest', guest: { id: 'b', ports: ports(9000) } })
  await say({ type: 'image-removed', reference: 'x' })
  await say({ type: 'guest', guest: { id: 'a', ports: [] } })
  await say({ type: 'guest-removed', id: 'b', name: 'b' })
  await toldTimes(4)
  expect(told).toEqual([[8000], [8000, 9000], [9000], []])
})

test('a core host that ends is followed again when it is back', async () => {
  follow()
  await toldTimes(1)
  socket?.destroy()
  await toldTimes(2)
  expect(told).toEqual([[8000], [8000]])
})

test('one that refuses is asked again', async () => {
  greeting = 'refused {"code":"host.starting"}\n'
  follow()
  while (socket === undefined) await once(server, 'connection')
  greeting = 'ok {"protocol":1}\n'
  await toldTimes(1)
  expect(told).toEqual([[8000]])
})
