// What the engine's control thread does between the core host and the packet thread: hands guests and ports over, answers
// names, follows what addresses the host has.
import { readdirSync } from 'node:fs'
import { Socket } from 'node:net'
import { openRouteMonitor, type RouteMonitor } from '../../sys/route-monitor.ts'
import { closeDescriptor } from '../../sys/socket.ts'
import { DnsForwarder } from '../dns/dns-forwarder.ts'
import type { NetworkSettings } from '../settings.ts'
import type { EngineCallMessage, EngineParts } from './engine-server.ts'
import type { EngineStats, GuestMessage } from './messages.ts'
import type { PacketWorker, ThreadNews } from './packet-worker.ts'
import type { Forward } from './thread-commands.ts'

export interface EngineControlOptions {
  readonly worker: PacketWorker
  readonly log: (message: string) => void
  readonly end: (reason: string) => void
}

export class EngineControl implements EngineParts, Disposable {
  readonly log: (message: string) => void
  readonly end: (reason: string) => void
  /** Set once by who wants to hear it. */
  onDeviceLost: (guest: string, reason: string) => void = () => {}
  readonly #worker: PacketWorker
  #dns: DnsForwarder | undefined
  #routes: RouteMonitor | undefined

  constructor({ worker, log, end }: EngineControlOptions) {
    this.#worker = worker
    this.log = log
    this.end = end
    worker.onNews = (news) => this.#hear(news)
  }

  begin(
    settings: NetworkSettings,
    rawIcmp: { readonly ipv4: number | undefined; readonly ipv6: number | undefined },
  ): void {
    this.#dns = new DnsForwarder({ settings, log: this.log })
    this.#routes = openRouteMonitor({
      onChange: (addresses) => this.#worker.send({ kind: 'host-addresses', addresses }),
      log: this.log,
    })
    this.#worker.send({ kind: 'start', settings, hostAddresses: this.#routes.addresses, rawIcmp })
  }

  addGuest(guest: GuestMessage, fd: number): void {
    this.#dns?.setGuest({ ...guest, mayMeetGuests: guest.guests })
    this.#worker.send({ kind: 'guest', guest, fd })
  }

  changeGuest(guest: GuestMessage): void {
    this.#dns?.setGuest({ ...guest, mayMeetGuests: guest.guests })
    this.#worker.send({ kind: 'guest-changed', guest })
  }

  removeGuest(id: string): void {
    this.#dns?.removeGuest(id)
    this.#worker.send({ kind: 'guest-gone', id })
  }

  addForward(forward: Forward, fd: number): void {
    this.#worker.send({ kind: 'forward', forward, fd })
  }

  removeForward(forward: Forward): void {
    this.#worker.send({ kind: 'forward-gone', forward })
  }

  async call(
    message: EngineCallMessage,
    fd: number | undefined,
    onPart: (items: readonly unknown[]) => void,
  ): Promise<unknown> {
    switch (message.method) {
      case 'settle':
        return await this.#worker.call({ method: 'settle' })
      case 'stats':
        return await this.#stats()
      case 'flows':
        return await this.#worker.call({ method: 'flows', guest: message.guest }, onPart)
      case 'capture': {
        const { guest, frameBytes, limitBytes } = message
        return await this.#worker.call({ method: 'capture', guest, frameBytes, limitBytes, fd: fd ?? -1 })
      }
      case 'connect':
        return await this.#worker.call({
          method: 'connect',
          guest: message.guest,
          port: message.port,
          fd: fd ?? -1,
        })
      default:
        return message satisfies never
    }
  }

  [Symbol.dispose](): void {
    this.#dns?.[Symbol.dispose]()
    this.#routes?.[Symbol.dispose]()
  }

  #serveStream(guest: string, fd: number): void {
    if (this.#dns === undefined) {
      closeDescriptor(fd)
      return
    }
    const socket = new Socket({ fd, readable: true, writable: true, allowHalfOpen: true })
    socket.once('close', () => this.#worker.send({ kind: 'dns-stream-closed', guest }))
    this.#dns.serveStream(guest, socket)
  }

  async #stats(): Promise<EngineStats> {
    const counted = await this.#worker.call({ method: 'stats' })
    const { user, system } = process.cpuUsage()
    return {
      ...counted,
      guests: counted.guests.map((guest) => this.#withDns(guest)),
      residentBytes: process.memoryUsage.rss(),
      cpuTimeMs: (user + system) / 1000,
      descriptors: readdirSync('/proc/self/fd').length,
    }
  }

  /** Queries that were not carried are dropped here and not in the packet thread. */
  #withDns(guest: EngineStats['guests'][number]): EngineStats['guests'][number] {
    const dropped = this.#dns?.dropped(guest.guest) ?? 0
    if (dropped === 0) return guest
    return { ...guest, drops: { ...guest.drops, rate: (guest.drops.rate ?? 0) + dropped } }
  }

  #hear(news: ThreadNews): void {
    switch (news.kind) {
      case 'dns': {
        const { guest, isIpv6, guestPort } = news
        this.#dns?.query(guest, news.bytes, (bytes) =>
          this.#worker.send({ kind: 'dns-answer', guest, isIpv6, guestPort, bytes }),
        )
        return
      }
      case 'dns-stream':
        this.#serveStream(news.guest, news.fd)
        return
      case 'device-lost':
        this.onDeviceLost(news.guest, news.reason)
        return
      case 'log':
        this.log(news.message)
        return
      default:
        news satisfies never
    }
  }
}
