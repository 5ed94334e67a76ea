// The ring worker's thread as the main thread holds it: started, sent commands, its reports given to the rings they are
// about, ended with the process.
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import { EventCounter } from '../../sys/event-counter.ts'
import { XenError } from '../errors.ts'
import { fromPlainError, type RingCommand, type RingReport, type RingWorkerData } from './ring-messages.ts'

type AttachCommand = Extract<RingCommand, { kind: 'attach-console' | 'attach-channel' }>

/** What the thread tells a ring. */
export interface RingListener {
  onData(bytes: Uint8Array<ArrayBuffer>): void
  onWritable(): void
  /** The ring is gone, and was attached before. */
  onLost(error: XenError): void
}

export interface AttachedSize {
  /** Size of the ring toward the guest, and how much of it was taken at the start; 0 for a console. */
  readonly toGuestBytes: number
  readonly usedBytes: number
}

interface RingState {
  readonly listener: RingListener
  readonly attaching: PromiseWithResolvers<AttachedSize>
  isAttached: boolean
  /** Resolves when it is detached; set once somebody asked for that. */
  detaching?: PromiseWithResolvers<void>
}

export class RingThread implements AsyncDisposable {
  /** Resolves when the worker serves; rejects with XenError when it cannot. */
  readonly ready: Promise<void>
  readonly #worker: Worker
  readonly #commands: MessagePort
  readonly #wake = new EventCounter()
  readonly #stop = new SharedArrayBuffer(4)
  readonly #rings = new Map<number, RingState>()
  readonly #draining = new Map<number, () => void>()
  readonly #exited: Promise<void>
  #failure: XenError | undefined
  #lastNumber = 0

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
        process.off('exit', this.#end)
        this.#fail(workerFailed('it has ended'))
        ready.reject(this.#failure)
        this.#commands.close()
        this.#wake[Symbol.dispose]()
        resolve()
      })
    })
    // Careful: a thread inside poll(2) keeps process.exit() waiting for ever.
    process.on('exit', this.#end)
  }

  /** A number for the next ring. */
  nextId(): number {
    return ++this.#lastNumber
  }

  attach(command: AttachCommand, listener: RingListener): Promise<AttachedSize> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    const attaching = Promise.withResolvers<AttachedSize>()
    this.#rings.set(command.id, { listener, attaching, isAttached: false })
    this.send(command)
    return attaching.promise
  }

  isAttached(id: number): boolean {
    return this.#rings.has(id)
  }

  send(command: RingCommand): void {
    if (this.#failure !== undefined) return
    this.#commands.postMessage(command)
    this.#wake.signal()
  }

  /** Resolves when all that the guest has put in by now was given to the listener. */
  drain(id: number): Promise<void> {
    if (!this.#rings.has(id)) return Promise.resolve()
    return new Promise((resolve) => {
      const request = ++this.#lastNumber
      this.#draining.set(request, resolve)
      this.send({ kind: 'drain', id, request })
    })
  }

  /** Drains and lets go; resolves when that is done, at once where it is gone already. */
  detach(id: number): Promise<void> {
    const ring = this.#rings.get(id)
    if (ring === undefined) return Promise.resolve()
    if (ring.detaching === undefined) {
      ring.detaching = Promise.withResolvers()
      this.send({ kind: 'detach', id })
    }
    return ring.detaching.promise
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end()
    await this.#exited
  }

  readonly #end = (): void => {
    Atomics.store(new Int32Array(this.#stop), 0, 1)
    if (this.#failure === undefined) this.#wake.signal()
  }

  #take(report: Exclude<RingReport, { kind: 'ready' | 'unavailable' }>): void {
    const ring = this.#rings.get(report.id)
    switch (report.kind) {
      case 'attached':
        if (ring !== undefined) ring.isAttached = true
        ring?.attaching.resolve(report)
        break
      case 'data':
        ring?.listener.onData(report.bytes)
        break
      case 'writable':
        ring?.listener.onWritable()
        break
      case 'drained':
        this.#draining.get(report.request)?.()
        this.#draining.delete(report.request)
        break
      case 'failed':
        this.#lose(report.id, fromPlainError(report.error))
        break
      case 'detached':
        this.#rings.delete(report.id)
        ring?.detaching?.resolve()
        break
    }
  }

  #lose(id: number, error: XenError): void {
    const ring = this.#rings.get(id)
    if (ring === undefined) return
    this.#rings.delete(id)
    if (ring.isAttached) ring.listener.onLost(error)
    else ring.attaching.reject(error)
    ring.detaching?.resolve()
  }

  #fail(error: XenError): void {
    if (this.#failure !== undefined) return
    this.#failure = error
    for (const id of [...this.#rings.keys()]) this.#lose(id, error)
    for (const resolve of this.#draining.values()) resolve()
    this.#draining.clear()
  }
}

function workerFailed(reason: string, cause?: unknown): XenError {
  return new XenError('ring-worker-failed', `Cannot serve guests' rings: the ring worker failed, ${reason}`, {
    cause,
  })
}
