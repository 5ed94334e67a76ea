// The packet thread as the control thread holds it: started, sent commands, asked, its reports handed on.
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import { signalEvent } from '../../sys/event-counter.ts'
import { NetError, type NetErrorCode } from '../errors.ts'
import type { EngineFlow } from './messages.ts'
import type {
  PacketThreadData,
  ThreadCall,
  ThreadCommand,
  ThreadReport,
  ThreadStats,
} from './thread-commands.ts'

type ResultOf<C extends ThreadCall> = C extends { method: 'stats' }
  ? ThreadStats
  : C extends { method: 'flows' }
    ? readonly EngineFlow[]
    : null

export type ThreadNews = Extract<ThreadReport, { kind: 'dns' | 'dns-stream' | 'device-lost' | 'log' }>

interface Waiting {
  readonly onPart: ((flows: readonly EngineFlow[]) => void) | undefined
  readonly resolve: (result: unknown) => void
  readonly reject: (error: NetError) => void
}

/** Beside this file, as source and when bundled. */
const ENTRY = import.meta.url.endsWith('.ts') ? './packet-thread.ts' : './packet-thread.js'

export class PacketWorker {
  /** Resolves with the reason when the thread has ended; then the engine has no reason to live on. */
  readonly ended: Promise<string>
  /** Set once by who wants to hear it. */
  onNews: (news: ThreadNews) => void = () => {}
  readonly #worker: Worker
  readonly #commands: MessagePort
  readonly #ready = Promise.withResolvers<void>()
  readonly #confined = Promise.withResolvers<string | undefined>()
  readonly #calls = new Map<number, Waiting>()
  #wakeFd: number | undefined
  #lastCall = 0

  private constructor(journalFd: number | undefined) {
    const { port1, port2 } = new MessageChannel()
    this.#commands = port1
    const workerData: PacketThreadData = { commands: port2, journalFd }
    this.#worker = new Worker(new URL(ENTRY, import.meta.url), {
      name: 'packet-thread',
      workerData,
      transferList: [port2],
      // Most descriptors come from the other thread and from the core host.
      trackUnmanagedFds: false,
    })
    this.ended = new Promise((resolve) => {
      this.#worker.on('error', (error) =>
        resolve(error instanceof Error ? (error.stack ?? error.message) : String(error)),
      )
      this.#worker.on('exit', (code) => resolve(`it ended with status ${code}`))
    })
    this.#worker.on('message', (report: ThreadReport) => this.#take(report))
  }

  /**
   * Resolves when it serves. `journalFd`: the file of the flow journal, the thread's from now on. Throws NetError
   * `net.engine-died` where it cannot.
   */
  static async start(journalFd?: number): Promise<PacketWorker> {
    const worker = new PacketWorker(journalFd)
    const failed = await Promise.race([worker.#ready.promise, worker.ended])
    if (failed === undefined) return worker
    throw new NetError('net.engine-died', `Cannot start the packet thread: ${failed}`)
  }

  send(command: ThreadCommand): void {
    this.#commands.postMessage(command)
    if (this.#wakeFd !== undefined) signalEvent(this.#wakeFd)
  }

  /** Throws the thread's NetError. Flows come in pieces, the last of them as the result. */
  async call<C extends ThreadCall>(
    call: C,
    onPart?: (flows: readonly EngineFlow[]) => void,
  ): Promise<ResultOf<C>> {
    const number = ++this.#lastCall
    const result = await new Promise<unknown>((resolve, reject) => {
      this.#calls.set(number, { onPart, resolve, reject })
      this.send({ kind: 'call', call: number, ...call })
    })
    return result as ResultOf<C>
  }

  /** The thread may open files below these folders only, to read. Resolves with what could not be done, if anything. */
  async confine(folders: readonly string[]): Promise<string | undefined> {
    this.send({ kind: 'confine', folders })
    return await this.#confined.promise
  }

  /** Asks the thread to end; `ended` tells. */
  stop(): void {
    this.send({ kind: 'stop' })
  }

  #take(report: ThreadReport): void {
    switch (report.kind) {
      case 'ready':
        this.#wakeFd = report.wakeFd
        this.#ready.resolve()
        return
      case 'confined':
        this.#confined.resolve(report.missing)
        return
      case 'part':
        this.#calls.get(report.call)?.onPart?.(report.flows)
        return
      case 'result':
        this.#settled(report.call)?.resolve(report.result)
        return
      case 'error': {
        const { code, message, hint } = report.error
        this.#settled(report.call)?.reject(
          new NetError(code as NetErrorCode, message, hint === undefined ? {} : { hint }),
        )
        return
      }
      default:
        this.onNews(report)
    }
  }

  #settled(call: number): Waiting | undefined {
    const waiting = this.#calls.get(call)
    this.#calls.delete(call)
    return waiting
  }
}
