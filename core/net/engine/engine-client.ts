// The network engine as the core host has it: one connection over which everything is told, and asked. Tests and benches
// use it alike. docs/contracts/net.md.
import { DescriptorChannel } from '../../sys/descriptor-channel.ts'
import { closeAll } from '../../sys/descriptor-passing.ts'
import type { FileDescriptor } from '../../sys/file-descriptor.ts'
import { connectToPath } from '../../sys/unix-socket.ts'
import { NetError, type NetErrorCode } from '../errors.ts'
import type { NetworkSettings } from '../settings.ts'
import { readFlows, readFromEngine, readStats, writeMessage } from './message-schemas.ts'
import {
  type EngineCall,
  type EngineFlow,
  type EngineStats,
  type ForwardMessage,
  type FromEngine,
  type GuestMessage,
  protocolVersion,
  type ToEngine,
} from './messages.ts'

export type EngineReady = Extract<FromEngine, { type: 'ready' }>

export interface ClientOptions {
  readonly log: (message: string) => void
  /** The guest's device is gone, or the engine does not have it: `guest()` with a new descriptor brings it back. */
  readonly onDeviceLost?: (guest: string, reason: string) => void
}

interface Waiting {
  readonly items: unknown[]
  readonly resolve: (result: unknown) => void
  readonly reject: (error: NetError) => void
}

export class NetEngineClient implements Disposable {
  /** Resolves with the reason when the connection has ended, by whoever. */
  readonly closed: Promise<NetError>
  readonly #closed = Promise.withResolvers<NetError>()
  readonly #ready = Promise.withResolvers<EngineReady>()
  readonly #calls = new Map<number, Waiting>()
  readonly #options: ClientOptions
  readonly #channel: DescriptorChannel
  #lastCall = 0

  /** Connects to the engine that listens at `socketPath`. Throws SystemError: ENOENT, ECONNREFUSED where none does. */
  static connect(socketPath: string, options: ClientOptions): NetEngineClient {
    return new NetEngineClient(connectToPath(socketPath), options)
  }

  private constructor(socket: FileDescriptor, options: ClientOptions) {
    this.#options = options
    this.closed = this.#closed.promise
    this.#ready.promise.catch(() => undefined)
    this.#channel = new DescriptorChannel(socket, {
      message: (payload, fds) => {
        closeAll(fds) // The engine has none to give.
        this.#take(readFromEngine(payload))
      },
      closed: (reason) => this.#end(reason),
    })
  }

  /** The first message. Resolves with what the engine has from before. The descriptors stay the caller's, here and below. */
  async hello(
    settings: NetworkSettings,
    rawIcmp: { readonly ipv4?: number | undefined; readonly ipv6?: number | undefined } = {},
  ): Promise<EngineReady> {
    this.#send(
      {
        type: 'hello',
        protocol: protocolVersion,
        settings,
        rawIcmp: { ipv4: rawIcmp.ipv4 !== undefined, ipv6: rawIcmp.ipv6 !== undefined },
      },
      [rawIcmp.ipv4, rawIcmp.ipv6].filter((fd) => fd !== undefined),
    )
    return await this.#ready.promise
  }

  /** A guest's wire, new or again; without a descriptor where the engine has it already. */
  guest(guest: Omit<GuestMessage, 'type'>, fd?: number): void {
    this.#send({ type: 'guest', ...guest }, fd === undefined ? [] : [fd])
  }

  guestGone(id: string): void {
    this.#send({ type: 'guest-gone', id })
  }

  /** A published port; without a descriptor where the engine has it already. */
  forward(forward: Omit<ForwardMessage, 'type'>, fd?: number): void {
    this.#send({ type: 'forward', ...forward }, fd === undefined ? [] : [fd])
  }

  forwardGone(forward: Omit<ForwardMessage, 'type'>): void {
    this.#send({ type: 'forward-gone', ...forward })
  }

  /** Everything was said; the engine lets go of what was not named. */
  synced(): void {
    this.#send({ type: 'synced' })
  }

  /** The engine ends, with all flows. */
  end(): void {
    this.#send({ type: 'end' })
  }

  /** Resolves when all that was said before is done. */
  async settle(): Promise<void> {
    await this.#call({ method: 'settle' })
  }

  async stats(): Promise<EngineStats> {
    return readStats(await this.#call({ method: 'stats' }))
  }

  async flows(guest?: string): Promise<readonly EngineFlow[]> {
    return readFlows(await this.#call({ method: 'flows', ...(guest === undefined ? {} : { guest }) }))
  }

  /** pcapng of a guest's frames goes to `fd` until its reader is gone, the limit is reached, or the guest is gone. */
  async capture(
    guest: string,
    options: { readonly frameBytes: number; readonly limitBytes: number },
    fd: number,
  ): Promise<void> {
    const { frameBytes, limitBytes } = options
    await this.#call({ method: 'capture', guest, frameBytes, limitBytes }, [fd])
  }

  /** Joins the stream socket `fd` to a TCP port of a guest. Throws `net.unreachable` where the guest does not accept. */
  async connectPort(guest: string, port: number, fd: number): Promise<void> {
    await this.#call({ method: 'connect', guest, port }, [fd])
  }

  /** The process that listens; undefined where the kernel does not say. */
  get pid(): number | undefined {
    return this.#channel.peer
  }

  /** Ends an engine that does not answer; only where it is known who listens. */
  kill(): void {
    const { pid } = this
    this[Symbol.dispose]()
    if (pid !== undefined) process.kill(pid, 'SIGKILL')
  }

  /** Lets go of the connection; the engine goes on. */
  [Symbol.dispose](): void {
    this.#channel[Symbol.dispose]()
    this.#end(undefined)
  }

  async #call(call: EngineCall, fds: readonly number[] = []): Promise<unknown> {
    if (this.#channel.isClosed) throw engineGone()
    const number = ++this.#lastCall
    return await new Promise((resolve, reject) => {
      this.#calls.set(number, { items: [], resolve, reject })
      this.#send({ type: 'call', call: number, ...call }, fds)
    })
  }

  #send(message: ToEngine, fds: readonly number[] = []): void {
    this.#channel.send(writeMessage(message), fds)
  }

  #take(message: FromEngine): void {
    switch (message.type) {
      case 'ready':
        if (message.protocol !== protocolVersion)
          throw new NetError(
            'net.protocol',
            `Cannot use the network engine: it speaks protocol ${message.protocol}, this core host ${protocolVersion}`,
          )
        this.#ready.resolve(message)
        return
      case 'part':
        this.#calls.get(message.call)?.items.push(...message.items)
        return
      case 'result': {
        const { call, result } = message
        const waiting = this.#settled(call)
        waiting?.resolve(Array.isArray(result) ? [...waiting.items, ...result] : result)
        return
      }
      case 'error': {
        const { code, message: sentence, hint } = message.error
        this.#settled(message.call)?.reject(
          new NetError(code as NetErrorCode, sentence, hint === undefined ? {} : { hint }),
        )
        return
      }
      case 'device-lost':
        this.#options.onDeviceLost?.(message.guest, message.reason)
        return
      case 'log':
        this.#options.log(message.message)
        return
      default:
        message satisfies never
    }
  }

  #settled(call: number): Waiting | undefined {
    const waiting = this.#calls.get(call)
    this.#calls.delete(call)
    return waiting
  }

  #end(reason: Error | undefined): void {
    const error = reason instanceof NetError ? reason : engineGone(reason)
    this.#closed.resolve(error)
    this.#ready.reject(error)
    for (const { reject } of this.#calls.values()) reject(error)
    this.#calls.clear()
  }
}

function engineGone(cause?: Error): NetError {
  return new NetError(
    'net.engine-died',
    'Cannot ask the network engine: it has ended, or is being restarted',
    {
      hint: 'Try again; a new one is started.',
      cause,
    },
  )
}
