// xenstored's unix socket: requests are pipelined, many in one write. Only where xenstored runs in this dom0.
import { once } from 'node:events'
import { connect } from 'node:net'
import type { OpenTransport, TransportEvents, XenstoreTransport } from './transport.ts'
import { MAX_PAYLOAD_BYTES, MessageDecoder } from './wire.ts'

export const XENSTORED_SOCKET = '/run/xenstored/socket'

/** Connects to a xenstored socket. Rejects with Node's error (ENOENT, ECONNREFUSED). */
export function socketTransport(path: string = XENSTORED_SOCKET): OpenTransport {
  return (events) => openSocket(path, events)
}

async function openSocket(path: string, events: TransportEvents): Promise<XenstoreTransport> {
  const socket = connect(path)
  await once(socket, 'connect')
  const decoder = new MessageDecoder()
  let failure: Error | undefined
  let isClosing = false
  let isCorked = false
  socket.on('data', (chunk: Buffer) => {
    try {
      for (const message of decoder.push(chunk)) events.onMessage(message)
    } catch (error) {
      socket.destroy(error instanceof Error ? error : new Error(String(error)))
    }
  })
  socket.on('error', (error) => {
    failure = error
  })
  socket.on('close', () => {
    events.onClose(isClosing ? undefined : (failure ?? new Error('xenstored closed the connection')))
  })
  return {
    name: path,
    maxPayloadBytes: MAX_PAYLOAD_BYTES,
    hasWatchDepth: true,
    send(message) {
      // What is sent in one turn of the event loop goes out in one write(2).
      if (!isCorked) {
        isCorked = true
        socket.cork()
        process.nextTick(() => {
          isCorked = false
          socket.uncork()
        })
      }
      socket.write(message)
    },
    close() {
      isClosing = true
      socket.destroy()
    },
  }
}
