// Joins a connection from outside to a port of dom0, so that what guests publish on dom0's loopback can be reached.

import { createSocket } from 'node:dgram'
import { connect, isIPv6, type Socket } from 'node:net'
import { type ConnectRequest, datagramFrame, encodeFrame, FrameReader } from './protocol.ts'

/** Serves `request` on `connection`, of which `early` has been read already. */
export function servePort(connection: Socket, request: ConnectRequest, early: Buffer): void {
  if (request.protocol === 'tcp') carryStream(connection, request, early)
  else carryDatagrams(connection, request, early)
}

/** Each direction ends by itself; when one side breaks, so does the other. */
function carryStream(connection: Socket, { address, port }: ConnectRequest, early: Buffer): void {
  const inner = connect({ host: address, port, allowHalfOpen: true, noDelay: true })
  inner.write(early)
  connection.pipe(inner)
  inner.pipe(connection)
  for (const [one, other] of [
    [connection, inner],
    [inner, connection],
  ] as const) {
    one.on('error', () => other.resetAndDestroy())
    one.on('close', () => {
      if (!one.readableEnded) other.destroy()
    })
  }
}

/** One socket for each connection: the port sees one client. */
function carryDatagrams(connection: Socket, { address, port }: ConnectRequest, early: Buffer): void {
  const inner = createSocket(isIPv6(address) ? 'udp6' : 'udp4')
  const frames = new FrameReader()
  const take = (chunk: Buffer) => {
    try {
      // The payload is a view of a buffer that the reader keeps, hence the copy.
      for (const { payload } of frames.push(chunk)) inner.send(Buffer.from(payload), port, address, () => {})
    } catch {
      connection.destroy()
    }
  }
  // Nobody listens there: to a sender of datagrams that is no error.
  inner.on('error', () => {})
  inner.on('message', (message) => connection.write(encodeFrame(datagramFrame, message)))
  connection.on('data', take)
  connection.on('end', () => connection.end())
  connection.on('close', () => inner.close())
  take(early)
}
