// Both halves together, the one that listens here and the agent's: 127.0.0.2 stands for dom0.

import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { PublishedPort } from '../../core/api/methods.ts'
import { servePort } from '../agent/port-relay.ts'
import type { ConnectRequest } from '../agent/protocol.ts'
import { PublishedPorts } from './published-ports.ts'

const dom0 = '127.0.0.2'

let stack: AsyncDisposableStack
let ports: PublishedPorts
beforeEach(async () => {
  stack = new AsyncDisposableStack()
  const requests: ConnectRequest[] = []
  const agent = createServer({ allowHalfOpen: true }, (connection) => {
    const request = requests.shift()
    if (request !== undefined) servePort(connection, request, Buffer.alloc(0))
  })
  await listen(agent, '127.0.0.1')
  ports = new PublishedPorts((request) => {
    requests.push(request)
    return connect({ port: portOf(agent), host: '127.0.0.1', allowHalfOpen: true })
  })
  stack.defer(() => ports.update([]))
})
afterEach(() => stack.disposeAsync())

async function listen(server: Server, address: string, port = 0): Promise<void> {
  server.listen({ host: address, port })
  await once(server, 'listening')
  stack.defer(() => void server.close())
}

const portOf = (server: Server) => (server.address() as AddressInfo).port
const published = (hostPort: number, protocol: 'tcp' | 'udp' = 'tcp'): PublishedPort => ({
  protocol,
  bind: dom0,
  hostPort,
  guestPort: 80,
})

/** Sends `text`, ends, and returns what comes back until the other side has ended. */
async function exchange(port: number, text: string): Promise<string> {
  const connection = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  connection.end(text)
  return (await connection.toArray()).join('')
}

test('a published port is reached on this machine, each direction ending by itself', async () => {
  const server = createServer({ allowHalfOpen: true }, async (connection) => {
    const received = (await connection.toArray()).join('')
    connection.end(`after the end: ${received}`)
  })
  await listen(server, dom0)
  await ports.update([published(portOf(server))])
  expect(ports.list()).toEqual([{ protocol: 'tcp', hostAddress: '127.0.0.1', hostPort: portOf(server) }])
  expect(await exchange(portOf(server), 'hello')).toBe('after the end: hello')
})

test('datagrams come back to whoever sent theirs', async () => {
  const server = createSocket('udp4')
  server.bind({ address: dom0, port: 0 })
  await once(server, 'listening')
  stack.defer(() => void server.close())
  server.on('message', (message, { address, port }) => server.send(`to ${message}`, port, address))
  await ports.update([published(server.address().port, 'udp')])
  const answers = ['one', 'two'].map(async (name) => {
    const client = createSocket('udp4')
    stack.defer(() => void client.close())
    client.send(name, server.address().port, '127.0.0.1')
    const [message] = await once(client, 'message')
    return String(message)
  })
  expect(await Promise.all(answers)).toEqual(['to one', 'to two'])
})

test('a port that is taken here is told with its reason, and the others work', async () => {
  const taken = createServer()
  await listen(taken, '127.0.0.1')
  const free = createServer((connection) => connection.end('free'))
  await listen(free, dom0)
  await ports.update([published(portOf(taken)), published(portOf(free))])
  expect(ports.list()).toMatchObject([{ problem: expect.stringContaining('EADDRINUSE') }, {}])
  expect(await exchange(portOf(free), '')).toBe('free')
})

test('a port that is published no more is closed here', async () => {
  const server = createServer((connection) => connection.end('there'))
  await listen(server, dom0)
  await ports.update([published(portOf(server))])
  expect(await exchange(portOf(server), '')).toBe('there')
  await ports.update([])
  expect(ports.list()).toEqual([])
  await expect(exchange(portOf(server), '')).rejects.toThrow('ECONNREFUSED')
})
