// The kernel's way to xenstored, /dev/xen/xenbus: works wherever xenstored runs, also in a domain of its own.
// Source: Linux, drivers/xen/xenbus/xenbus_dev_frontend.c. Careful: it takes one message per write(2) and
// silently drops what follows, and sends it from the file's one buffer after write(2) has returned: a second
// request before the first one's answer overwrites the first one's payload (seen on Linux 6.1: of 400 pipelined
// writes, all answered OK, 95 were done). So one request is under way at a time. Header and payload share 4096
// bytes; watches have no depth; the request id of a watch event means nothing.
import { constants, readSync, writeSync } from 'node:fs'
import { watchReadable } from '../../sys/readable-watch.ts'
import { isSystemError } from '../../sys/system-error.ts'
import { openXenDevice } from '../hypercalls.ts'
import type { OpenTransport, TransportEvents, XenstoreTransport } from './transport.ts'
import { HEADER_BYTES, MAX_PAYLOAD_BYTES, MESSAGE, MessageDecoder } from './wire.ts'

export const XENBUS_DEVICE = '/dev/xen/xenbus'

const READ_BYTES = 64 * 1024

/** Opens the device. Rejects with XenError `not-dom0` where there is none. */
export function deviceTransport(path: string = XENBUS_DEVICE): OpenTransport {
  return async (events) => openDevice(path, events)
}

function openDevice(path: string, events: TransportEvents): XenstoreTransport {
  const device = openXenDevice(path, constants.O_RDWR | constants.O_NONBLOCK)
  const decoder = new MessageDecoder()
  const buffer = Buffer.alloc(READ_BYTES)
  const waiting: Buffer[] = []
  let isUnderWay = false
  let isOpen = true
  const finish = (error: Error | undefined): void => {
    if (!isOpen) return
    isOpen = false
    watch[Symbol.dispose]()
    device[Symbol.dispose]()
    events.onClose(error)
  }
  const sendNext = (): void => {
    const message = isUnderWay ? undefined : waiting.shift()
    if (message === undefined) return
    writeSync(device.fd, message)
    isUnderWay = true
  }
  const watch = watchReadable(device.fd, () => {
    try {
      const count = readSync(device.fd, buffer, 0, buffer.length, null)
      for (const message of decoder.push(buffer.subarray(0, count))) {
        if (!isOpen) return
        if (message.type !== MESSAGE.watchEvent) isUnderWay = false
        events.onMessage(message)
        sendNext()
      }
    } catch (error) {
      if (isSystemError(error, 'EAGAIN', 'EINTR')) return
      finish(error instanceof Error ? error : new Error(String(error)))
    }
  })
  return {
    name: path,
    maxPayloadBytes: MAX_PAYLOAD_BYTES - HEADER_BYTES,
    hasWatchDepth: false,
    send(message) {
      waiting.push(message)
      sendNext()
    },
    close: () => finish(undefined),
  }
}
