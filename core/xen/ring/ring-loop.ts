// The ring worker's loop: one poll(2) for the event channels of all guests and for the main thread's commands.
// It never returns to Node's event loop while it runs: a turn of that costs as much as a round trip to a guest.
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import { drainEvent } from '../../sys/event-counter.ts'
import { allocateNativeMemory } from '../../sys/native-memory.ts'
import { PollSet } from '../../sys/poll-set.ts'
import { attachChannel } from './attached-channel.ts'
import { attachConsole } from './attached-console.ts'
import type { AttachedRing, RingDevices, SendReport } from './attached-ring.ts'
import { EventLimit } from './event-limit.ts'
import { type RingCommand, toPlainError } from './ring-messages.ts'

interface Entry {
  readonly id: number
  readonly ring: AttachedRing
  readonly limit: EventLimit
  /** While set, the port is masked until this time (ms). */
  maskedUntilMs: number | undefined
  isDue: boolean
}

export interface RingLoopOptions {
  readonly devices: RingDevices
  readonly commands: MessagePort
  readonly wakeFd: number
  readonly isStopping: () => boolean
  readonly report: SendReport
  readonly now: () => number
}

const EVENTS = 0
const WAKE = 1

export class RingLoop {
  readonly #options: RingLoopOptions
  readonly #byId = new Map<number, Entry>()
  readonly #byPort = new Map<number, Entry>()
  readonly #scratch = allocateNativeMemory(8)

  constructor(options: RingLoopOptions) {
    this.#options = options
  }

  /** Runs until it is told to stop, then lets go of all rings. */
  run(): void {
    const { devices, wakeFd, isStopping } = this.#options
    const descriptors = new PollSet([devices.events.fd, wakeFd])
    try {
      while (!isStopping()) {
        descriptors.wait(this.#timeoutMs())
        if (descriptors.isReady(WAKE)) this.#takeCommands()
        if (descriptors.isReady(EVENTS)) this.#takeEvents()
        this.#endMasks()
        this.#serviceDue()
      }
    } finally {
      for (const entry of this.#byId.values()) this.#guard(entry, () => this.#release(entry))
    }
  }

  #timeoutMs(): number {
    let earliestMs = Number.POSITIVE_INFINITY
    for (const { isDue, maskedUntilMs } of this.#byId.values()) {
      if (isDue) return 0
      if (maskedUntilMs !== undefined) earliestMs = Math.min(earliestMs, maskedUntilMs)
    }
    if (earliestMs === Number.POSITIVE_INFINITY) return -1
    return Math.max(0, Math.ceil(earliestMs - this.#options.now()))
  }

  #takeCommands(): void {
    const { commands, wakeFd } = this.#options
    drainEvent(wakeFd, this.#scratch.address)
    for (let message = receiveMessageOnPort(commands); message !== undefined; ) {
      this.#obey(message.message as RingCommand)
      message = receiveMessageOnPort(commands)
    }
  }

  #obey(command: RingCommand): void {
    if (command.kind === 'attach-console' || command.kind === 'attach-channel') {
      this.#attach(command)
      return
    }
    const entry = this.#byId.get(command.id)
    if (entry === undefined) {
      // It failed while the command was on its way.
      if (command.kind === 'detach') this.#options.report({ kind: 'detached', id: command.id })
      if (command.kind === 'drain') this.#options.report({ ...command, kind: 'drained' })
      return
    }
    entry.isDue = true
    switch (command.kind) {
      case 'look':
        break
      case 'write':
        this.#guard(entry, () => entry.ring.write(command.bytes))
        break
      case 'drain':
        this.#guard(entry, () => entry.ring.drain())
        this.#options.report({ kind: 'drained', id: command.id, request: command.request })
        break
      case 'detach':
        this.#guard(entry, () => {
          entry.ring.drain()
          this.#release(entry)
        })
        this.#options.report({ kind: 'detached', id: command.id })
        break
    }
  }

  #attach(command: Extract<RingCommand, { kind: 'attach-console' | 'attach-channel' }>): void {
    const { devices, report } = this.#options
    const { id } = command
    try {
      const ring =
        command.kind === 'attach-console'
          ? attachConsole(devices, command, report)
          : attachChannel(devices, command, report)
      const entry: Entry = { id, ring, limit: new EventLimit(), maskedUntilMs: undefined, isDue: true }
      this.#byId.set(id, entry)
      this.#byPort.set(ring.localPort, entry)
      report({ kind: 'attached', id, toGuestBytes: ring.toGuestBytes, usedBytes: ring.usedBytes })
    } catch (error) {
      report({ kind: 'failed', id, error: toPlainError(error) })
    }
  }

  #takeEvents(): void {
    const fired = this.#options.devices.events.read() ?? [...this.#byPort.keys()]
    for (const port of fired) {
      const entry = this.#byPort.get(port)
      if (entry === undefined) continue
      entry.maskedUntilMs = entry.limit.countEvent(this.#options.now())
      if (entry.maskedUntilMs !== undefined) continue
      this.#unmask(entry)
      this.#service(entry, true)
    }
  }

  #endMasks(): void {
    const nowMs = this.#options.now()
    for (const entry of this.#byId.values()) {
      if (entry.maskedUntilMs === undefined || entry.maskedUntilMs > nowMs) continue
      entry.maskedUntilMs = undefined
      this.#unmask(entry)
      entry.isDue = true
    }
  }

  #serviceDue(): void {
    for (const entry of this.#byId.values()) {
      if (entry.isDue) this.#service(entry, false)
    }
  }

  #service(entry: Entry, isForEvent: boolean): void {
    this.#guard(entry, () => {
      const { hasMoved, hasMore } = entry.ring.service()
      entry.isDue = hasMore
      if (isForEvent && !hasMoved) entry.limit.countEmpty()
    })
  }

  #unmask(entry: Entry): void {
    this.#guard(entry, () => this.#options.devices.events.unmask(entry.ring.localPort))
  }

  /** A ring whose guest breaks the rules is let go of; all others go on. */
  #guard(entry: Entry, act: () => void): void {
    if (!this.#byId.has(entry.id)) return
    try {
      act()
    } catch (error) {
      const failure = toPlainError(error)
      try {
        this.#release(entry)
      } catch {
        // The first reason is the one that tells; what could not be released ends with this process.
      }
      this.#options.report({ kind: 'failed', id: entry.id, error: failure })
    }
  }

  #release(entry: Entry): void {
    if (!this.#byId.delete(entry.id)) return
    this.#byPort.delete(entry.ring.localPort)
    entry.ring.release()
  }
}
