// The core host's hold on a running domain: its console ring, its control channel as soon as guest-init
// announces it, and letting go of both. docs/contracts/channel.md.
import { randomInt } from 'node:crypto'
import type { DomainId } from '../xen/domain-id.ts'
import type { ChannelRing, ConsoleRing, RingWorker } from '../xen/ring/ring-worker-client.ts'
import type { Xenstore } from '../xen/xenstore/client.ts'
import { ControlChannel, type GuestNews } from './channel/control-channel.ts'
import { stderrStream, stdoutStream } from './channel/frames.ts'
import { GuestError } from './errors.ts'
import type { GuestStreams } from './guest-streams.ts'

export interface GuestLinkOptions {
  readonly domid: DomainId
  readonly rings: RingWorker
  readonly xenstore: Xenstore
  readonly streams: GuestStreams
  readonly console: { readonly frame: number; readonly port: number }
  readonly stdin: boolean
  /** The domain ran before this core host did. */
  readonly adopted: boolean
  readonly now: () => number
  readonly onNews: (news: GuestNews) => void
  readonly log: (message: string) => void
  /** The ring worker is dead, and with it every ring. */
  readonly onFatal: (reason: string) => void
}

interface Announcement {
  readonly ref: number
  readonly port: number
}

export class GuestLink {
  readonly #options: GuestLinkOptions
  readonly #console: ConsoleRing
  readonly #stop = new AbortController()
  #channel: ControlChannel | undefined
  #ring: ChannelRing | undefined
  #announced = ''
  #watching: Promise<void> = Promise.resolve()
  #attaching: Promise<void> = Promise.resolve()
  /** Commands that came before guest-init did. */
  #waiting: ((channel: ControlChannel) => void)[] = []

  private constructor(options: GuestLinkOptions, console: ConsoleRing) {
    this.#options = options
    this.#console = console
  }

  /** Attaches the console, before the domain's first instruction, and waits for guest-init in the background. */
  static async attach(options: GuestLinkOptions): Promise<GuestLink> {
    const { domid, rings, streams, now, log } = options
    const console = await rings.attachConsole({
      domid,
      frame: options.console.frame,
      port: options.console.port,
      onData: (bytes) => streams.console.append(bytes, now()),
      onError: (error) => {
        log(`The console of domain ${domid} is closed: ${error.message}`)
        if (error.reason === 'ring-worker-failed') options.onFatal(error.message)
      },
    })
    const link = new GuestLink(options, console)
    link.#watching = link.#watch().catch((error: unknown) => {
      if (!link.#stop.signal.aborted) log(`Cannot watch for guest-init of domain ${domid}: ${String(error)}`)
    })
    return link
  }

  credit(stream: number, limit: number): void {
    this.#channel?.credit(stream, limit)
  }

  async writeStdin(bytes: Uint8Array): Promise<void> {
    await (await this.#whenChannel()).write(bytes)
  }

  endStdin(): void {
    this.#command((channel) => channel.endInput())
  }

  writeConsole(bytes: Uint8Array): void {
    this.#console.write(bytes)
  }

  resize(rows: number, columns: number): void {
    this.#command((channel) => channel.resize(rows, columns))
  }

  signal(signal: number, group = false): void {
    this.#command((channel) => channel.signal(signal, group))
  }

  shutdown(): void {
    this.#command((channel) => channel.shutdown())
  }

  /** True where guest-init has been heard of: commands reach it. */
  get hasChannel(): boolean {
    return this.#channel !== undefined && !this.#channel.broken
  }

  /** Resolves when all that the guest has written by now was taken. */
  async drain(): Promise<void> {
    await this.#attaching
    await this.#ring?.drain()
    await this.#console.drain()
  }

  /** Takes what the guest left in its rings and lets go of its pages and ports. */
  async detach(): Promise<void> {
    this.#stop.abort()
    await this.#watching
    await this.#ring?.detach()
    this.#channel?.close()
    this.#waiting = []
    await this.#console.detach()
  }

  async #watch(): Promise<void> {
    const { xenstore, domid, log } = this.#options
    const path = `/local/domain/${domid}/data/bulkhead`
    await using watch = await xenstore.watch(path, { signal: this.#stop.signal })
    for await (const _changed of watch) {
      const value = await xenstore.read(path, { signal: this.#stop.signal })
      if (value === undefined || value === this.#announced) continue
      this.#announced = value
      const announcement = parseAnnouncement(value)
      if (announcement === undefined) {
        log(`Domain ${domid} announced a control channel that makes no sense`)
        continue
      }
      try {
        this.#attaching = this.#attachChannel(announcement)
        await this.#attaching
      } catch (error) {
        log(
          `Cannot attach to the control channel of domain ${domid}: ${error instanceof Error ? error.message : String(error)}`,
        )
      }
      // Careful: the guest can write this node without end. One look per interval bounds what that costs.
      await pause(announcementIntervalMs, this.#stop.signal)
    }
  }

  async #attachChannel({ ref, port }: Announcement): Promise<void> {
    const { rings, domid, streams, stdin, adopted, now, onNews, log } = this.#options
    // A new ring replaces the old one; its pages must be let go first, or they would pile up.
    const hadOne = this.#ring !== undefined
    await this.#ring?.detach()
    this.#channel?.close()
    const ring = await rings.attachChannel({
      domid,
      ref,
      port,
      onFrames: (frames) => channel.receive(frames),
      onWritable: () => channel.writable(),
      onClosed: (error) => {
        log(`The control channel of domain ${domid} is closed: ${error.message}`)
        channel.close()
      },
    })
    const channel = new ControlChannel({
      link: ring,
      epoch: randomInt(1, 2 ** 32 - 1),
      stdout: streams.stdout,
      stderr: streams.stderr,
      stdin,
      adopted: adopted || hadOne,
      now,
      onNews,
      onBroken: (error) => {
        log(`Domain ${domid}: ${error.message}`)
        void ring.detach()
      },
    })
    this.#ring = ring
    this.#channel = channel
    // What was granted before there was a channel to say it through.
    channel.credit(stdoutStream, streams.stdout.limit)
    if (streams.stderr !== undefined) channel.credit(stderrStream, streams.stderr.limit)
    for (const command of this.#waiting.splice(0)) command(channel)
  }

  #command(act: (channel: ControlChannel) => void): void {
    if (this.#channel !== undefined) act(this.#channel)
    else if (!this.#stop.signal.aborted && this.#waiting.length < maxWaiting) this.#waiting.push(act)
  }

  #whenChannel(): Promise<ControlChannel> {
    if (this.#channel !== undefined) return Promise.resolve(this.#channel)
    return new Promise((resolve, reject) => {
      this.#command(resolve)
      this.#stop.signal.addEventListener(
        'abort',
        () => reject(new GuestError('stream.input-closed', 'The guest is gone')),
        {
          once: true,
        },
      )
    })
  }
}

const announcementIntervalMs = 200
const maxWaiting = 256

/** `1 REF PORT`: three decimals, written by the guest and so believed in nothing but their form. */
function parseAnnouncement(value: string): Announcement | undefined {
  const match = /^1 ([0-9]{1,10}) ([0-9]{1,10})$/.exec(value)
  if (match === null) return undefined
  const [ref, port] = [Number(match[1]), Number(match[2])]
  return ref < 2 ** 32 && port < 2 ** 32 ? { ref, port } : undefined
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', finish)
      resolve()
    }
    const timer = setTimeout(finish, ms)
    signal.addEventListener('abort', finish, { once: true })
  })
}
