// Streams whose other end the network engine has: one end of a pair of sockets is here, the other was handed to it. A
// connection to a guest's port goes both ways and each way ends for itself; a capture comes, and is asked to end.
// docs/contracts/streams.md.
import { Socket } from 'node:net'
import { NetError } from '../../net/errors.ts'
import { EPIPE } from '../../sys/errno.ts'
import { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { sendBytes } from '../../sys/socket.ts'
import type { OutputEvent } from '../broker/output-stream.ts'
import type { StreamSession } from '../broker/stream-session.ts'

export interface GuestPortOptions {
  /** Our end, which the session owns from now on. */
  readonly fd: number
  readonly guestName: string
  readonly port: number
}

/** A connection that the guest has accepted. */
export function portSession({ fd, guestName, port }: GuestPortOptions): StreamSession {
  const socket = openSocket(fd)
  let hasInputEnded = false
  async function* output(): AsyncGenerator<OutputEvent> {
    const whole = socketEvents(socket)
    for await (const event of whole) {
      if (event.kind === 'end' && !hasInputEnded && !socket.destroyed && isGone(fd))
        throw new NetError(
          'net.connection-reset',
          `The connection to port ${port} of guest "${guestName}" was broken off`,
          { hint: 'By the guest, or since the network engine was started again.' },
        )
      yield event
    }
  }
  return {
    kind: 'connect',
    terminal: false,
    outputs: [output()],
    consumed: () => undefined,
    input: {
      write: (bytes) =>
        new Promise((resolve, reject) => {
          socket.write(bytes, (error) => (error ? reject(error) : resolve()))
        }),
      end: () => {
        hasInputEnded = true
        socket.end()
      },
    },
    close: () => void socket.destroy(),
  }
}

/** A capture that the engine writes to the other end of `fd`, which the session owns from now on. */
export function captureSession(fd: number): StreamSession {
  const socket = openSocket(fd)
  return {
    kind: 'capture',
    terminal: false,
    outputs: [socketEvents(socket)],
    consumed: () => undefined,
    // Nothing is written: the end alone asks for the end (core/net/capture/capture-sink.ts).
    input: { write: () => Promise.resolve(), end: () => void socket.end() },
    close: () => void socket.destroy(),
  }
}

/** What a stream frame takes. */
const pieceBytes = 64 * 1024
const nothing = new PinnedBuffer(8)

function openSocket(fd: number): Socket {
  const socket = new Socket({ fd, allowHalfOpen: true })
  // Its failure is that of a read or a write; without a listener it would end the process.
  socket.on('error', () => undefined)
  return socket
}

async function* socketEvents(socket: Socket): AsyncGenerator<OutputEvent> {
  let offset = 0
  // Without this the end of what comes would close what goes.
  const chunks: AsyncIterable<Buffer> = socket.iterator({ destroyOnReturn: false })
  for await (const chunk of chunks) {
    for (let start = 0; start < chunk.length; start += pieceBytes) {
      const bytes = chunk.subarray(start, start + pieceBytes)
      yield { kind: 'data', stream: 1, offset, bytes }
      offset += bytes.length
    }
  }
  yield { kind: 'end', stream: 1, offset }
}

/** True where the other end is closed altogether, not for writing alone: then even nothing cannot be sent (unix(7)). */
function isGone(fd: number): boolean {
  return sendBytes(fd, nothing, 0, 0) === -EPIPE
}
