// The main thread's end of the ring worker: attaching guests' consoles and control channels, what they write,
// what is sent to them.
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import { EventCounter, signalEvent } from '../../sys/event-counter.ts'
import type { DomainId } from '../domain-id.ts'
import { XenError } from '../errors.ts'
import { decodeFrames, encodeFrame, type Frame, frameSizeBytes, MAX_FRAME_PAYLOAD_BYTES } from './frame.ts'
import { allocateFlow, MainFlow } from './ring-flow.ts'
import { fromPlainError, type RingCommand, type RingReport, type RingWorkerData } from './ring-messages.ts'

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
  const client = new RingWorkerClient()
  await client.ready
  return client
}

const MAX_CONSOLE_INPUT_BYTES = 256 * 1024

/** A ring from the main thread's view. */
interface ClientRing {
  onAttached(toGuestBytes: number, usedBytes: number): void
  onData(bytes: Uint8Array<ArrayBuffer>): void
  onWritable(): void
  /** Before it was attached this is the failure to do so. */
  onFailed(error: XenError): void
}

class RingWorkerClient implements RingWorker {
  readonly ready: Promise<void>
  readonly #worker: Worker
  readonly #commands: MessagePort
  readonly #wake = new EventCounter()
  readonly #stop = new SharedArrayBuffer(4)
  readonly #rings = new Map<number, ClientRing>()
  readonly #detaching = new Map<number, () => void>()
  readonly #draining = new Map<number, () => void>()
  readonly #exited: Promise<void>
  #failure: XenError | undefined
  #lastId = 0

  constructor() {
    const { port1, port2 } = new MessageChannel()
    this.#commands = port1
    const workerData: RingWorkerData = { commands: port2, wakeFd: this.#wake.fd, stop: this.#stop }
    // As TypeScript when run from source, bundled beside this file otherwise.
    const entry = import.meta.url.endsWith('.ts') ? './ring-worker.ts' : './ring-worker.js'
    this.#worker = new Worker(new URL(entry, import.meta.url), {
      name: 'ring-worker',
      workerData,
      transferList: [port2],
    })
    const ready = Promise.withResolvers<void>()
    this.ready = ready.promise
    this.#worker.on('message', (report: RingReport) => {
      if (report.kind === 'ready') ready.resolve()
      else if (report.kind === 'unavailable') this.#fail(fromPlainError(report.error))
      else this.#take(report)
    })
    this.#worker.on('error', (error) => this.#fail(workerFailed(String(error), error)))
    this.#exited = new Promise((resolve) => {
      this.#worker.on('exit', () => {
        process.off('exit', this.#endThread)
        this.#fail(workerFailed('it has ended'))
        ready.reject(this.#failure)
        this.#commands.close()
        this.#wake[Symbol.dispose]()
        resolve()
      })
    })
    // Careful: a thread inside poll(2) keeps process.exit() waiting for ever.
    process.on('exit', this.#endThread)
  }

  async attachConsole(options: AttachConsoleOptions): Promise<ConsoleRing> {
    const { domid, frame, port, onData, onError } = options
    const flowMemory = allocateFlow()
    const flow = new MainFlow(flowMemory)
    let sentBytes = 0
    const id = ++this.#lastId
    await this.#attach(
      { kind: 'attach-console', id, domid, frame, port, flow: flowMemory },
      (bytes) => {
        onData(bytes)
        if (flow.acknowledge(bytes.length)) this.#send({ kind: 'look', id })
      },
      () => {},
      onError,
    )
    return {
      write: (bytes) => {
        const queuedBytes = (sentBytes - flow.guestTook) >>> 0
        if (!this.#rings.has(id) || queuedBytes + bytes.length > MAX_CONSOLE_INPUT_BYTES) return false
        sentBytes = (sentBytes + bytes.length) >>> 0
        this.#send({ kind: 'write', id, bytes: bytes.slice() })
        return true
      },
      drain: () => this.#drain(id),
      detach: () => this.#detach(id),
    }
  }

  async attachChannel(options: AttachChannelOptions): Promise<ChannelRing> {
    const { domid, ref, port, onFrames, onWritable, onClosed } = options
    const flowMemory = allocateFlow()
    const flow = new MainFlow(flowMemory)
    const id = ++this.#lastId
    const { toGuestBytes, usedBytes } = await this.#attach(
      { kind: 'attach-channel', id, domid, ref, port, flow: flowMemory },
      (bytes) => {
        onFrames(decodeFrames(bytes))
        if (flow.acknowledge(bytes.length)) this.#send({ kind: 'look', id })
      },
      onWritable,
      onClosed,
    )
    let sentBytes = usedBytes
    let waiting: Frame[] = []
    const flush = (): void => {
      if (waiting.length === 0) return
      const frames = waiting
      waiting = []
      if (this.#rings.has(id)) this.#send({ kind: 'write', id, bytes: encodeFrames(frames) })
    }
    const hasRoom = (sizeBytes: number): boolean =>
      ((sentBytes - flow.guestTook) >>> 0) + sizeBytes <= toGuestBytes
    return {
      send: (frame) => {
        if (frame.payload.length > MAX_FRAME_PAYLOAD_BYTES) {
          throw new RangeError(`A frame of ${frame.payload.length} bytes is too long`)
        }
        if (!this.#rings.has(id)) return false
        const sizeBytes = frameSizeBytes(frame.payload.length)
        if (!hasRoom(sizeBytes)) {
          flow.wantRoom(sizeBytes)
          // The guest may have taken something meanwhile; the worker looks for us either way.
          if (!hasRoom(sizeBytes)) {
            flush()
            this.#send({ kind: 'look', id })
            return false
          }
          flow.wantRoom(0)
        }
        sentBytes = (sentBytes + sizeBytes) >>> 0
        // Frames that are sent in one turn of the event loop go over together.
        if (waiting.push(frame) === 1) queueMicrotask(flush)
        return true
      },
      drain: () => this.#drain(id),
      detach: () => {
        flush()
        return this.#detach(id)
      },
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#endThread()
    await this.#exited
  }

  readonly #endThread = (): void => {
    Atomics.store(new Int32Array(this.#stop), 0, 1)
    if (this.#failure === undefined) signalEvent(this.#wake.fd)
  }

  #attach(
    command: Extract<RingCommand, { kind: 'attach-console' | 'attach-channel' }>,
    onData: (bytes: Uint8Array<ArrayBuffer>) => void,
    onWritable: () => void,
    onLost: (error: XenError) => void,
  ): Promise<{ readonly toGuestBytes: number; readonly usedBytes: number }> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) throw this.#failure
      const { id } = command
      let isAttached = false
      this.#rings.set(id, {
        onAttached(toGuestBytes, usedBytes) {
          isAttached = true
          resolve({ toGuestBytes, usedBytes })
        },
        onData,
        onWritable,
        onFailed: (error) => (isAttached ? onLost(error) : reject(error)),
      })
      this.#send(command)
    })
  }

  #drain(id: number): Promise<void> {
    if (!this.#rings.has(id)) return Promise.resolve()
    return new Promise((resolve) => {
      const request = ++this.#lastId
      this.#draining.set(request, resolve)
      this.#send({ kind: 'drain', id, request })
    })
  }

  #detach(id: number): Promise<void> {
    if (!this.#rings.has(id)) return Promise.resolve()
    return new Promise((resolve) => {
      const before = this.#detaching.get(id)
      this.#detaching.set(id, () => {
        before?.()
        resolve()
      })
      if (before === undefined) this.#send({ kind: 'detach', id })
    })
  }

  #take(report: Exclude<RingReport, { kind: 'ready' | 'unavailable' }>): void {
    const ring = this.#rings.get(report.id)
    switch (report.kind) {
      case 'attached':
        ring?.onAttached(report.toGuestBytes, report.usedBytes)
        break
      case 'data':
        ring?.onData(report.bytes)
        break
      case 'writable':
        ring?.onWritable()
        break
      case 'drained':
        this.#draining.get(report.request)?.()
        this.#draining.delete(report.request)
        break
      case 'failed':
        this.#rings.delete(report.id)
        ring?.onFailed(fromPlainError(report.error))
        this.#finishDetach(report.id)
        break
      case 'detached':
        this.#rings.delete(report.id)
        this.#finishDetach(report.id)
        break
    }
  }

  #finishDetach(id: number): void {
    this.#detaching.get(id)?.()
    this.#detaching.delete(id)
  }

  #send(command: RingCommand): void {
    if (this.#failure !== undefined) return
    this.#commands.postMessage(command)
    this.#wake.signal()
  }

  #fail(error: XenError): void {
    if (this.#failure !== undefined) return
    this.#failure = error
    const rings = [...this.#rings.values()]
    this.#rings.clear()
    for (const ring of rings) ring.onFailed(error)
    for (const resolve of [...this.#detaching.values(), ...this.#draining.values()]) resolve()
    this.#detaching.clear()
    this.#draining.clear()
  }
}

function encodeFrames(frames: readonly Frame[]): Uint8Array<ArrayBuffer> {
  const sizeBytes = frames.reduce((sum, frame) => sum + frameSizeBytes(frame.payload.length), 0)
  const bytes = new Uint8Array(sizeBytes)
  let offset = 0
  for (const frame of frames) offset = encodeFrame(bytes, offset, frame)
  return bytes
}

function workerFailed(reason: string, cause?: unknown): XenError {
  return new XenError('ring-worker-failed', `Cannot serve guests' rings: the ring worker failed, ${reason}`, {
    cause,
  })
}
