// Finds the way to xenstored: its socket where it runs in this dom0, the kernel's device everywhere else.
import { isSystemError } from '../../sys/system-error.ts'
import { XenError } from '../errors.ts'
import { Xenstore } from './client.ts'
import { deviceTransport, XENBUS_DEVICE } from './device-transport.ts'
import { socketTransport, XENSTORED_SOCKET } from './socket-transport.ts'

export interface OpenXenstoreOptions {
  /** `auto` (the default) prefers the socket: it takes longer messages and pipelines them. */
  readonly transport?: 'auto' | 'socket' | 'device'
  readonly socketPath?: string
  readonly devicePath?: string
}

/** Connects to xenstored. Throws XenError `not-dom0` or `xenstore-lost` with what to do about it. */
export async function openXenstore(options: OpenXenstoreOptions = {}): Promise<Xenstore> {
  const { transport = 'auto', socketPath = XENSTORED_SOCKET, devicePath = XENBUS_DEVICE } = options
  if (transport !== 'device') {
    try {
      return await Xenstore.connect(socketTransport(socketPath))
    } catch (error) {
      if (transport === 'socket' || !isSystemError(error, 'ENOENT', 'ECONNREFUSED')) throw unreachable(error)
    }
  }
  return Xenstore.connect(deviceTransport(devicePath))
}

function unreachable(error: unknown): XenError {
  const reason = error instanceof Error ? error.message : String(error)
  return new XenError('xenstore-lost', `Cannot reach xenstored: ${reason}`, {
    hint: 'Start it (systemctl start xenstored), and run the core host as root.',
    cause: error,
  })
}
