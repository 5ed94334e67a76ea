// One guest, from its record on disk to its life as a domain: what it is now, what may be done with it, and
// how its end is told from what is known. The launch itself is in launch.ts, the collection in guests.ts.
import type { ExitRecord } from '../api/methods.ts'
import type { RingBudget } from './broker/byte-ring.ts'
import type { StreamInput, StreamSession } from './broker/stream-session.ts'
import type { GuestNews } from './channel/control-channel.ts'
import { stderrStream, stdoutStream } from './channel/frames.ts'
import { GuestError } from './errors.ts'
import { exitRecord, type GuestEnd } from './exit-records.ts'
import type { GuestLink } from './guest-link.ts'
import type { GuestRecord } from './guest-record.ts'
import { GuestStreams } from './guest-streams.ts'
import { consoleSession, stdioSession } from './stream-sessions.ts'

export interface GuestOptions {
  readonly record: GuestRecord
  readonly budget: RingBudget
  readonly logFolder: string
  readonly now: () => number
  readonly log: (message: string) => void
}

export class Guest {
  readonly record: GuestRecord
  readonly #options: GuestOptions
  #life: GuestLife | undefined

  constructor(options: GuestOptions) {
    this.record = options.record
    this.#options = options
  }

  get id(): string {
    return this.record.id
  }

  get name(): string {
    return this.record.name
  }

  get stdioLogPath(): string {
    return `${this.#options.logFolder}/stdio.log`
  }

  get bootLogPath(): string {
    return `${this.#options.logFolder}/boot.log`
  }

  /** True from the start of a launch until everything of it is gone. */
  get isAlive(): boolean {
    return this.record.state !== 'created' && this.record.state !== 'exited'
  }

  /** The life that is now, or that the next launch will begin: readers may come before it. */
  get life(): GuestLife {
    this.#life ??= new GuestLife(this, this.#options)
    return this.#life
  }

  /** The life that is over is forgotten; the next launch begins another. */
  forgetLife(): void {
    this.#life = undefined
  }

  /** Streams of a life that has begun or is being waited for. */
  get streams(): GuestStreams | undefined {
    return this.#life?.streams
  }

  openStdio(options: { lossless: boolean; stdin: boolean; from: 'start' | 'now' }): StreamSession {
    if (this.record.state === 'exited')
      throw new GuestError('guest.not-running', `Cannot attach to guest "${this.name}": it has ended`, {
        hint: `What it wrote is in "bulkhead logs ${this.name}".`,
      })
    const { life } = this
    return stdioSession(life.streams, {
      lossless: options.lossless,
      from: options.from,
      terminal: this.record.spec.process.terminal,
      input: options.stdin ? life.stdin : undefined,
      exit: life.exit,
      resize: (rows, columns) => life.resize(rows, columns),
      signal: (signal) => life.signal(signal),
    })
  }

  openConsole(from: 'start' | 'now'): StreamSession {
    if (!this.isAlive)
      throw new GuestError(
        'guest.not-running',
        `Cannot open the console of guest "${this.name}": it is not running`,
        {
          hint: `What it wrote is in "bulkhead logs --boot ${this.name}".`,
        },
      )
    return consoleSession(this.life.streams, from, this.life.consoleInput)
  }
}

/** From the first reader or the launch, to the moment when nothing is left of the domain. */
export class GuestLife {
  readonly streams: GuestStreams
  /** Resolves when the program runs; rejects when it never will. */
  readonly started: Promise<void>
  /** Resolves when everything of this life is cleaned up. */
  readonly exit: Promise<ExitRecord>
  /** Resolves when the end is known, and cleaning up may begin. */
  readonly ending: Promise<GuestEnd>
  readonly #guest: Guest
  readonly #started = Promise.withResolvers<void>()
  readonly #exit = Promise.withResolvers<ExitRecord>()
  readonly #ending = Promise.withResolvers<GuestEnd>()
  readonly #link = Promise.withResolvers<GuestLink>()
  #end: GuestEnd | undefined

  constructor(guest: Guest, options: GuestOptions) {
    this.#guest = guest
    this.started = this.#started.promise
    this.exit = this.#exit.promise
    this.ending = this.#ending.promise
    // Nobody has to wait for these; those who do get the reason.
    this.started.catch(() => undefined)
    this.exit.catch(() => undefined)
    this.#link.promise.catch(() => undefined)
    this.streams = new GuestStreams({
      budget: options.budget,
      terminal: guest.record.spec.process.terminal,
      stdioLogPath: guest.stdioLogPath,
      bootLogPath: guest.bootLogPath,
      now: options.now,
      onLimit: (stream, limit) => {
        this.#whenLinked((link) => link.credit(stream === 2 ? stderrStream : stdoutStream, limit))
      },
      onLogError: (error) => options.log(`Cannot write the log of guest "${guest.name}": ${String(error)}`),
    })
  }

  get end(): GuestEnd | undefined {
    return this.#end
  }

  readonly stdin: StreamInput = {
    write: async (bytes) => await (await this.#link.promise).writeStdin(bytes),
    end: () => this.#whenLinked((link) => link.endStdin()),
  }

  readonly consoleInput: StreamInput = {
    write: async (bytes) => (await this.#link.promise).writeConsole(bytes),
    end: () => undefined,
  }

  resize(rows: number, columns: number): void {
    this.#whenLinked((link) => link.resize(rows, columns))
  }

  signal(signal: number): void {
    this.#whenLinked((link) => link.signal(signal))
  }

  /** The way to the domain is there: what waited for it goes now. */
  linked(link: GuestLink): void {
    this.#link.resolve(link)
  }

  /** What guest-init says. */
  news(news: GuestNews): void {
    switch (news.type) {
      case 'ready':
        return
      case 'started':
        this.#started.resolve()
        return
      case 'exited':
        this.endsWith(
          news.kind === 'status'
            ? { reason: 'exited', status: news.value }
            : { reason: 'signalled', signal: news.value },
        )
        return
      case 'exec-failed':
        this.endsWith({ reason: 'exec-failed', errno: news.errno, text: news.text })
        return
      case 'failed':
        this.endsWith({ reason: 'failed', step: news.step, text: news.text })
        return
      default:
        news satisfies never
    }
  }

  /** The first word about the end counts; later ones are its consequences. */
  endsWith(end: GuestEnd): void {
    if (this.#end !== undefined) return
    this.#end = end
    const { message, code } = exitRecord(end, new Date(0))
    this.#started.reject(
      end.reason === 'exec-failed' || end.reason === 'failed' || end.reason === 'crashed'
        ? new GuestError(`guest.${end.reason}`, message, {
            data: { exitCode: code },
            ...(end.reason === 'exec-failed' || this.#guest.record.spec.autoRemove
              ? {}
              : { hint: `"bulkhead logs --boot ${this.#guest.name}" shows what the guest said.` }),
          })
        : new GuestError('guest.ended', message, { data: { exitCode: code } }),
    )
    this.#ending.resolve(end)
  }

  /** Everything of this life is gone. */
  finished(record: ExitRecord): void {
    this.#link.reject(new GuestError('stream.input-closed', `Guest "${this.#guest.name}" is gone`))
    this.#exit.resolve(record)
  }

  /** The launch failed before the guest ran: nobody gets an end, all get the reason. */
  async failed(error: unknown): Promise<void> {
    this.#started.reject(error)
    this.#link.reject(error)
    this.#exit.reject(error)
    await this.streams.end()
  }

  #whenLinked(act: (link: GuestLink) => void): void {
    this.#link.promise.then(act, () => undefined)
  }
}
