// The engine's side of the control connection: one core host at a time, a newer one takes the place of an older. What it
// was told stays when the connection ends, and is brought in line with what the next one says. docs/contracts/net.md.
import { BulkheadError } from '../../errors.ts'
import { DescriptorChannel } from '../../sys/descriptor-channel.ts'
import { closeAll } from '../../sys/descriptor-passing.ts'
import type { FileDescriptor } from '../../sys/file-descriptor.ts'
import { NetError } from '../errors.ts'
import type { NetworkSettings } from '../settings.ts'
import { readToEngine, writeMessage } from './message-schemas.ts'
import {
  type FromEngine,
  type GuestMessage,
  LONGEST_TEXT,
  protocolVersion,
  type ToEngine,
} from './messages.ts'
import type { Forward } from './thread-commands.ts'

/** What the server is in front of. Descriptors that it gets are its own from then on. */
export interface EngineParts {
  /** The first hello of this process; `settings` stay for its life. */
  begin(
    settings: NetworkSettings,
    rawIcmp: { readonly ipv4: number | undefined; readonly ipv6: number | undefined },
  ): void
  addGuest(guest: GuestMessage, fd: number): void
  changeGuest(guest: GuestMessage): void
  removeGuest(id: string): void
  addForward(forward: Forward, fd: number): void
  removeForward(forward: Forward): void
  /** `onPart` gets pieces of a list that come before the result. */
  call(
    call: EngineCallMessage,
    fd: number | undefined,
    onPart: (items: readonly unknown[]) => void,
  ): Promise<unknown>
  end(reason: string): void
  log(message: string): void
}

export type EngineCallMessage = Extract<ToEngine, { type: 'call' }>

export interface EngineFacts {
  readonly version: string
  readonly startedAt: string
}

interface KnownGuest {
  readonly guest: GuestMessage
  /** Named on this connection. */
  isNamed: boolean
}

interface KnownForward {
  readonly forward: Forward
  isNamed: boolean
}

/** Only root can connect at all. */
const MOST_STRANGERS = 4

export class EngineServer {
  readonly #parts: EngineParts
  readonly #facts: EngineFacts
  readonly #guests = new Map<string, KnownGuest>()
  readonly #forwards = new Map<string, KnownForward>()
  #settings: string | undefined
  #channel: DescriptorChannel | undefined
  /** Connections without a `hello` yet. */
  readonly #strangers = new Set<DescriptorChannel>()

  constructor(parts: EngineParts, facts: EngineFacts) {
    this.#parts = parts
    this.#facts = facts
  }

  get isConnected(): boolean {
    return this.#channel !== undefined
  }

  /** Somebody has connected; with `hello` it becomes the core host, in place of the one before. */
  accept(socket: FileDescriptor): void {
    const channel: DescriptorChannel = new DescriptorChannel(socket, {
      message: (payload, fds) => this.#receive(channel, payload, fds),
      closed: (reason) => {
        this.#strangers.delete(channel)
        if (this.#channel === channel) this.#channel = undefined
        if (reason !== undefined) this.#parts.log(`A connection is cut off: ${reason.message}`)
      },
    })
    this.#strangers.add(channel)
    const [oldest] = this.#strangers
    if (oldest !== undefined && this.#strangers.size > MOST_STRANGERS) {
      this.#strangers.delete(oldest)
      oldest[Symbol.dispose]()
    }
  }

  /** The guest's device is gone: so is the guest, until the core host brings it back. */
  deviceLost(id: string, reason: string): void {
    if (!this.#guests.has(id)) return
    this.#forget(id)
    this.tell({ type: 'device-lost', guest: id, reason: reason.slice(0, LONGEST_TEXT) })
  }

  /** Sends to the core host, if one is there. */
  tell(message: FromEngine): void {
    this.#channel?.send(writeMessage(message))
  }

  #receive(channel: DescriptorChannel, payload: Uint8Array, fds: readonly number[]): void {
    // Whoever takes a descriptor takes it out of this list.
    const held = [...fds]
    try {
      this.#take(channel, readToEngine(payload), held)
      if (held.length > 0)
        throw new NetError('net.protocol', `${held.length} descriptors came with a message that has none`)
    } finally {
      closeAll(held)
    }
  }

  #take(channel: DescriptorChannel, message: ToEngine, held: number[]): void {
    if (message.type === 'hello') {
      this.#hello(channel, message, held)
      return
    }
    if (channel !== this.#channel) throw new NetError('net.protocol', `"${message.type}" came before "hello"`)
    switch (message.type) {
      case 'guest':
        this.#guest(message, held.shift())
        return
      case 'guest-gone':
        if (this.#guests.has(message.id)) this.#remove(message.id)
        return
      case 'forward':
        this.#forward(message, held.shift())
        return
      case 'forward-gone': {
        const known = this.#forwards.get(keyOf(message))
        if (known !== undefined) this.#removeForward(known.forward)
        return
      }
      case 'synced':
        this.#letGo()
        return
      case 'end':
        this.#parts.end('the core host said so')
        return
      case 'call': {
        const takesOne = message.method === 'capture' || message.method === 'connect'
        void this.#call(message, takesOne ? needed(held.shift(), message.method) : undefined)
        return
      }
      default:
        message satisfies never
    }
  }

  #hello(channel: DescriptorChannel, message: Extract<ToEngine, { type: 'hello' }>, held: number[]): void {
    if (message.protocol !== protocolVersion)
      throw new NetError(
        'net.protocol',
        `Cannot serve a core host that speaks protocol ${message.protocol}: this engine speaks ${protocolVersion}`,
      )
    const ipv4 = message.rawIcmp.ipv4 ? needed(held.shift(), 'hello') : undefined
    const ipv6 = message.rawIcmp.ipv6 ? needed(held.shift(), 'hello') : undefined
    const settings = JSON.stringify(message.settings)
    if (this.#settings === undefined) {
      this.#settings = settings
      this.#parts.begin(message.settings, { ipv4, ipv6 })
    } else {
      closeAll([ipv4, ipv6].filter((fd) => fd !== undefined))
      if (settings !== this.#settings) {
        // Half of what is made depends on them, and a new engine is there within a second.
        this.#parts.end('the settings have changed')
        return
      }
    }
    this.#strangers.delete(channel)
    if (this.#channel !== channel) this.#channel?.[Symbol.dispose]()
    this.#channel = channel
    for (const known of [...this.#guests.values(), ...this.#forwards.values()]) known.isNamed = false
    this.tell({
      type: 'ready',
      protocol: protocolVersion,
      ...this.#facts,
      guests: [...this.#guests.keys()],
      forwards: [...this.#forwards.values()].map(({ forward }) => forward),
    })
  }

  #guest(message: GuestMessage, fd: number | undefined): void {
    const known = this.#guests.get(message.id)
    if (fd === undefined) {
      if (known === undefined || !isSameWire(known.guest, message)) {
        // It was lost while this message was on its way, or is not what it was.
        if (known !== undefined) this.#forget(message.id)
        this.tell({ type: 'device-lost', guest: message.id, reason: 'the engine does not have it' })
        return
      }
      this.#guests.set(message.id, { guest: message, isNamed: true })
      this.#parts.changeGuest(message)
      return
    }
    // Its forwards stay: they are about the guest, not its wire.
    if (known !== undefined) this.#parts.removeGuest(message.id)
    this.#guests.set(message.id, { guest: message, isNamed: true })
    this.#parts.addGuest(message, fd)
  }

  #forward(
    { type: _type, ...forward }: Extract<ToEngine, { type: 'forward' }>,
    fd: number | undefined,
  ): void {
    const key = keyOf(forward)
    const known = this.#forwards.get(key)
    if (fd === undefined) {
      if (
        known === undefined ||
        known.forward.guest !== forward.guest ||
        known.forward.guestPort !== forward.guestPort
      )
        throw new NetError('net.protocol', `The forward of ${key} came without its socket`)
      known.isNamed = true
      return
    }
    if (known !== undefined) this.#removeForward(known.forward)
    this.#forwards.set(key, { forward, isNamed: true })
    this.#parts.addForward(forward, fd)
  }

  async #call(message: EngineCallMessage, fd: number | undefined): Promise<void> {
    const channel = this.#channel
    const { call } = message
    const answer = (reply: FromEngine) => {
      // A newer core host counts its calls anew.
      if (this.#channel === channel) this.tell(reply)
    }
    try {
      if ('guest' in message && message.guest !== undefined && !this.#guests.has(message.guest)) {
        if (fd !== undefined) closeAll([fd])
        throw new NetError('net.no-guest', `The network engine has no guest ${message.guest.slice(0, 12)}`)
      }
      const result = await this.#parts.call(message, fd, (items) => answer({ type: 'part', call, items }))
      answer({ type: 'result', call, result })
    } catch (error) {
      if (!(error instanceof BulkheadError)) this.#parts.log(`${message.method} failed: ${String(error)}`)
      const code = error instanceof BulkheadError ? error.code : 'net.protocol'
      const hint = error instanceof BulkheadError ? error.hint : undefined
      const text = error instanceof Error ? error.message : String(error)
      answer({
        type: 'error',
        call,
        error: { code, message: text.slice(0, LONGEST_TEXT), ...(hint === undefined ? {} : { hint }) },
      })
    }
  }

  /** After `synced`: what this core host has not named is not wanted any more. */
  #letGo(): void {
    for (const [id, { isNamed }] of [...this.#guests]) if (!isNamed) this.#remove(id)
    for (const { forward, isNamed } of [...this.#forwards.values()])
      if (!isNamed || !this.#guests.has(forward.guest)) this.#removeForward(forward)
  }

  #remove(id: string): void {
    this.#forget(id)
    for (const { forward } of [...this.#forwards.values()])
      if (forward.guest === id) this.#removeForward(forward)
  }

  /** Careful: a guest that lost its device keeps its forwards, for it may come back. */
  #forget(id: string): void {
    this.#guests.delete(id)
    this.#parts.removeGuest(id)
  }

  #removeForward(forward: Forward): void {
    this.#forwards.delete(keyOf(forward))
    this.#parts.removeForward(forward)
  }
}

function keyOf({ protocol, bind, hostPort }: Forward): string {
  return `${protocol} ${bind} ${hostPort}`
}

function isSameWire(one: GuestMessage, other: GuestMessage): boolean {
  return (['mac', 'ipv4', 'ipv6', 'mtu', 'device', 'configuration'] as const).every(
    (key) => one[key] === other[key],
  )
}

function needed(fd: number | undefined, method: string): number {
  if (fd === undefined) throw new NetError('net.protocol', `"${method}" came without its descriptor`)
  return fd
}
