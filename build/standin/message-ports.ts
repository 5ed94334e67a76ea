// MessageChannelMain: two entangled ports in the main process, of which one may be transferred to a page.
// Messages are cloned when posted and wait until `start()` (electron docs/api/message-port-main.md).
import { EventEmitter } from 'node:events'
import type * as Electron from 'electron'

/** Where a port's messages go after it was transferred to a page. */
export interface PortSink {
  deliver(message: unknown): void
  closed(): void
}

export class MessagePortMain
  extends EventEmitter
  implements Pick<Electron.MessagePortMain, 'postMessage' | 'start' | 'close'>
{
  #peer: MessagePortMain | undefined
  #waiting: unknown[] = []
  #started = false
  #sink: PortSink | undefined

  static entangle(one: MessagePortMain, other: MessagePortMain): void {
    one.#peer = other
    other.#peer = one
  }

  postMessage(message: unknown, transfer: readonly unknown[] = []): void {
    if (this.#sink !== undefined) throw new Error('Cannot post on a port that was transferred')
    if (transfer.length > 0) throw new Error('The stand-in transfers no ports over ports')
    const peer = this.#peer
    const copy = structuredClone(message)
    if (peer !== undefined) queueMicrotask(() => peer.#receive(copy))
  }

  start(): void {
    this.#started = true
    for (const message of this.#waiting.splice(0)) this.#receive(message)
  }

  close(): void {
    const peer = this.#peer
    this.#peer = undefined
    if (peer === undefined) return
    peer.#peer = undefined
    queueMicrotask(() => {
      if (peer.#sink === undefined) peer.emit('close')
      else peer.#sink.closed()
    })
  }

  /** Hands this end to a page: from now on `sink` gets what the other end posts. */
  transferTo(sink: PortSink): void {
    if (this.#sink !== undefined) throw new Error('Cannot transfer a port twice')
    this.#sink = sink
    for (const message of this.#waiting.splice(0)) sink.deliver(message)
  }

  /** The page posted on its end. */
  postFromPage(message: unknown): void {
    const peer = this.#peer
    if (peer !== undefined) peer.#receive(message)
  }

  #receive(data: unknown): void {
    if (this.#sink !== undefined) this.#sink.deliver(data)
    else if (this.#started) this.emit('message', { data, ports: [] })
    else this.#waiting.push(data)
  }
}

export class MessageChannelMain {
  readonly port1 = new MessagePortMain()
  readonly port2 = new MessagePortMain()

  constructor() {
    MessagePortMain.entangle(this.port1, this.port2)
  }
}
