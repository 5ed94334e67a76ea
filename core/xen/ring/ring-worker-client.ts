// The main thread's end of the ring worker: attaching guests' consoles and control channels, what they write,
// what is sent to them.
import type { DomainId } from '../domain-id.ts'
import type { XenError } from '../errors.ts'
import { decodeFrames, encodeFrame, type Frame, frameSizeBytes, MAX_FRAME_PAYLOAD_BYTES } from './frame.ts'
import { allocateFlow, MainFlow } from './ring-flow.ts'
import { RingThread } from './ring-thread.ts'

export type { Frame } from './frame.ts'

export interface AttachConsoleOptions {
  readonly domid: DomainId
  /** The machine frame of the console's page; without it the page is mapped by the guest's grant 0. */
  readonly frame?: number | undefined
  /** The guest's event channel. */
  readonly port: number
  /** What the guest wrote; the next piece comes after this has returned. */
  readonly onData: (bytes: Uint8Array) => void
  /** It is detached: the guest broke the rules, or the worker died. */
  readonly onError: (error: XenError) => void
}

export interface ConsoleRing {
  /** Queues input. False, and nothing was queued, when more than 256 KiB would wait for the guest. */
  write(bytes: Uint8Array): boolean
  /** Resolves when all that the guest has written by now was given to `onData`. */
  drain(): Promise<void>
  /** Drains, unmaps, closes the port; resolves when that is done. */
  detach(): Promise<void>
}

export interface AttachChannelOptions {
  readonly domid: DomainId
  /** The grant of the control page, and the guest's event channel: from `data/bulkhead`. */
  readonly ref: number
  readonly port: number
  readonly onFrames: (frames: readonly Frame[]) => void
  /** There is room again after `send()` returned false. */
  readonly onWritable: () => void
  /** It is detached: the guest broke the rules, or the worker died. Not called for `detach()`. */
  readonly onClosed: (error: XenError) => void
}

export interface ChannelRing {
  /** Puts a frame into the ring. False, and nothing was sent, when it has no room: wait for `onWritable`. */
  send(frame: Frame): boolean
  /** Resolves when all frames that are in the ring by now were given to `onFrames`. */
  drain(): Promise<void>
  /** Drains, unmaps, closes the port; resolves when that is done. */
  detach(): Promise<void>
}

export interface RingWorker extends AsyncDisposable {
  /** Rejects with XenError: `attach-failed`, `ring-worker-failed`. */
  attachConsole(options: AttachConsoleOptions): Promise<ConsoleRing>
  /** Rejects with XenError: `attach-failed`, `guest-protocol`, `ring-worker-failed`. */
  attachChannel(options: AttachChannelOptions): Promise<ChannelRing>
}

/** Starts the worker. Rejects with XenError `not-dom0` where there is no Xen to serve. */
export async function startRingWorker(): Promise<RingWorker> {
  const thread = new RingThread()
  await thread.ready
  return {
    attachConsole: (options) => attachConsole(thread, options),
    attachChannel: (options) => attachChannel(thread, options),
    [Symbol.asyncDispose]: () => thread[Symbol.asyncDispose](),
  }
}

const MAX_CONSOLE_INPUT_BYTES = 256 * 1024

async function attachConsole(thread: RingThread, options: AttachConsoleOptions): Promise<ConsoleRing> {
  const { domid, frame, port, onData, onError } = options
  const id = thread.nextId()
  const memory = allocateFlow()
  const flow = new MainFlow(memory)
  await thread.attach(
    { kind: 'attach-console', id, domid, frame, port, flow: memory },
    {
      onData(bytes) {
        onData(bytes)
        if (flow.acknowledge(bytes.length)) thread.send({ kind: 'look', id })
      },
      onWritable: () => {},
      onLost: onError,
    },
  )
  let sentBytes = 0
  return {
    write(bytes) {
      const queuedBytes = (sentBytes - flow.guestTook) >>> 0
      if (!thread.isAttached(id) || queuedBytes + bytes.length > MAX_CONSOLE_INPUT_BYTES) return false
      sentBytes = (sentBytes + bytes.length) >>> 0
      thread.send({ kind: 'write', id, bytes: bytes.slice() })
      return true
    },
    drain: () => thread.drain(id),
    detach: () => thread.detach(id),
  }
}

async function attachChannel(thread: RingThread, options: AttachChannelOptions): Promise<ChannelRing> {
  const { domid, ref, port, onFrames, onWritable, onClosed } = options
  const id = thread.nextId()
  const memory = allocateFlow()
  const flow = new MainFlow(memory)
  const { toGuestBytes, usedBytes } = await thread.attach(
    { kind: 'attach-channel', id, domid, ref, port, flow: memory },
    {
      onData(bytes) {
        onFrames(decodeFrames(bytes))
        if (flow.acknowledge(bytes.length)) thread.send({ kind: 'look', id })
      },
      onWritable,
      onLost: onClosed,
    },
  )
  let sentBytes = usedBytes
  let waiting: Frame[] = []
  const flush = (): void => {
    if (waiting.length === 0) return
    const frames = waiting
    waiting = []
    if (thread.isAttached(id)) thread.send({ kind: 'write', id, bytes: encodeFrames(frames) })
  }
  const hasRoom = (sizeBytes: number): boolean =>
    ((sentBytes - flow.guestTook) >>> 0) + sizeBytes <= toGuestBytes
  return {
    send(frame) {
      if (frame.payload.length > MAX_FRAME_PAYLOAD_BYTES) {
        throw new RangeError(`A frame of ${frame.payload.length} bytes is too long`)
      }
      if (!thread.isAttached(id)) return false
      const sizeBytes = frameSizeBytes(frame.payload.length)
      if (!hasRoom(sizeBytes)) {
        flow.wantRoom(sizeBytes)
        // The guest may have taken something meanwhile; otherwise the worker looks for us.
        if (!hasRoom(sizeBytes)) {
          flush()
          thread.send({ kind: 'look', id })
          return false
        }
        flow.wantRoom(0)
      }
      sentBytes = (sentBytes + sizeBytes) >>> 0
      // Frames that are sent in one turn of the event loop go over together.
      if (waiting.push(frame) === 1) queueMicrotask(flush)
      return true
    },
    drain: () => thread.drain(id),
    detach() {
      flush()
      return thread.detach(id)
    },
  }
}

function encodeFrames(frames: readonly Frame[]): Uint8Array<ArrayBuffer> {
  const sizeBytes = frames.reduce((sum, frame) => sum + frameSizeBytes(frame.payload.length), 0)
  const bytes = new Uint8Array(sizeBytes)
  let offset = 0
  for (const frame of frames) offset = encodeFrame(bytes, offset, frame)
  return bytes
}
