// Who is at the other end of a unix socket: the kernel's word (SO_PEERCRED, socket(7), unix(7)).
import type { Socket } from 'node:net'
import { BulkheadError } from '../errors.ts'
import { getsockopt } from './libc.ts'
import { allocateNativeMemory } from './native-memory.ts'
import { i32, structLayout, u32 } from './struct-layout.ts'

// asm-generic/socket.h
const SOL_SOCKET = 1
const SO_PEERCRED = 17

const ucred = structLayout('struct ucred', 12, { pid: i32(0), uid: u32(4), gid: u32(8) })
const NO_ID = 0xffff_ffff

export interface PeerCredentials {
  readonly pid: number
  readonly uid: number
  readonly gid: number
}

/**
 * The process, user and group that connected, as they were when it connected. Throws BulkheadError
 * (`sys.no-peer-credentials`) whenever the kernel does not say so clearly; refuse such a connection.
 */
export function peerCredentials(socket: Socket): PeerCredentials {
  const value = allocateNativeMemory(ucred.sizeBytes)
  const size = allocateNativeMemory(4)
  size.view.setUint32(0, ucred.sizeBytes, true)
  getsockopt(
    descriptorOf(socket),
    { level: SOL_SOCKET, name: SO_PEERCRED, value: value.address, size: size.address },
    'ask who is at the other end of a socket',
  )
  const { pid, uid, gid } = ucred.at(value.view)
  // A socket that is not a connected unix socket answers pid 0 and ids of -1.
  if (size.view.getUint32(0, true) !== ucred.sizeBytes || pid <= 0 || uid === NO_ID || gid === NO_ID) {
    throw unknownPeer('the kernel does not know')
  }
  return { pid, uid, gid }
}

// Careful: Node has no public way to a socket's descriptor; `_handle.fd` is what every release has had.
function descriptorOf(socket: Socket): number {
  const handle: unknown = '_handle' in socket ? socket._handle : undefined
  if (typeof handle === 'object' && handle !== null && 'fd' in handle) {
    const { fd } = handle
    if (typeof fd === 'number' && fd >= 0) return fd
  }
  throw unknownPeer('the connection is closed')
}

function unknownPeer(reason: string): BulkheadError {
  return new BulkheadError(
    'sys.no-peer-credentials',
    `Cannot tell who is at the other end of a socket: ${reason}`,
  )
}
