// A Xen host that exists in the test only: guests, images and jobs in memory behind the real wire, so that pages,
// failures and floods can be had on demand. What a guest says is given by the test; a terminal echoes what is typed.
import { randomBytes, randomUUID } from 'node:crypto'
import type {
  CoreEvent,
  ExitRecord,
  GuestSummary,
  HostCheck,
  HostInfo,
  ImageDetails,
  ImageSummary,
  Job,
  OpenStream,
} from '../../../core/api/methods.ts'
import { BulkheadError } from '../../../core/errors.ts'
import { type AcceptedTicket, CoreWire, type Methods } from './core-wire.ts'
import { ScriptedStream } from './scripted-stream.ts'

export interface ScriptedGuest {
  summary: GuestSummary
  /** What its program wrote, or its terminal shows. */
  readonly stdio: ScriptedStream
  /** What its kernel wrote. */
  readonly console: ScriptedStream
}

export interface HostFacts {
  readonly info: HostInfo
  readonly checks: readonly HostCheck[]
}

export class ScriptedHost implements AsyncDisposable {
  readonly guests = new Map<string, ScriptedGuest>()
  readonly images = new Map<string, ImageDetails>()
  readonly jobs = new Map<string, Job>()
  readonly calls: { readonly method: string; readonly params: unknown }[] = []
  /** Bytes of each finished import. */
  readonly imports: Buffer[] = []
  readonly #tickets = new Map<string, AcceptedTicket>()
  readonly #facts: HostFacts
  #wire: CoreWire | undefined
  #path = ''
  /** Method names that fail, with the error they fail with. */
  readonly failures = new Map<string, BulkheadError>()

  constructor(facts: HostFacts) {
    this.#facts = facts
  }

  async listen(path: string): Promise<void> {
    this.#path = path
    const recorded = Object.fromEntries(
      Object.entries(this.#methods()).map(([method, handler]) => [
        method,
        (params: never) => {
          this.calls.push({ method, params })
          const failure = this.failures.get(method)
          if (failure !== undefined) throw failure
          return (handler as (params: never) => unknown)(params)
        },
      ]),
    ) as Methods
    this.#wire = await CoreWire.listen(path, recorded, (ticket) => {
      const accepted = this.#tickets.get(ticket)
      this.#tickets.delete(ticket)
      return accepted
    })
  }

  get wire(): CoreWire {
    if (this.#wire === undefined) throw new Error('The scripted host does not listen yet')
    return this.#wire
  }

  get path(): string {
    return this.#path
  }

  notify(event: CoreEvent): void {
    this.#wire?.notify(event)
  }

  addGuest(summary: GuestSummary): ScriptedGuest {
    const guest = { summary, stdio: new ScriptedStream(), console: new ScriptedStream() }
    if (summary.exit !== undefined) guest.stdio.exit(summary.exit)
    this.guests.set(summary.id, guest)
    this.notify({ type: 'guest', guest: summary })
    return guest
  }

  changeGuest(id: string, change: Partial<GuestSummary>): void {
    const guest = this.find(id)
    guest.summary = { ...guest.summary, ...change }
    this.notify({ type: 'guest', guest: guest.summary })
  }

  exitGuest(id: string, exit: ExitRecord): void {
    this.find(id).stdio.exit(exit)
    this.changeGuest(id, { state: 'exited', exit })
  }

  putJob(job: Job): void {
    this.jobs.set(job.id, job)
    this.notify({ type: 'job', job })
  }

  find(key: string): ScriptedGuest {
    for (const guest of this.guests.values())
      if (guest.summary.name === key || guest.summary.id.startsWith(key)) return guest
    throw new BulkheadError('guest.not-found', `No guest is called "${key}"`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#wire?.[Symbol.asyncDispose]()
  }

  #methods(): Methods {
    return {
      'host.info': () => ({ ...this.#facts.info, images: this.images.size }),
      'host.check': () => [...this.#facts.checks],
      'images.list': () => [...this.images.values()].map(summaryOf),
      'images.inspect': ({ image }) => this.#image(image),
      'images.pull': ({ reference }) => {
        const job = runningJob('pull', `Pull ${reference}`)
        this.putJob(job)
        return { job: job.id }
      },
      'images.import': ({ sizeBytes = 0 }) => {
        const job = runningJob('import', 'Import an archive')
        this.putJob(job)
        return { job: job.id, ticket: this.#ticket(this.#import(job, sizeBytes)) }
      },
      'images.remove': ({ image }) => {
        const { reference, digest } = this.#image(image)
        this.images.delete(reference)
        this.notify({ type: 'image-removed', reference })
        return { untagged: [reference], deleted: [digest] }
      },
      'guests.create': ({ image, name, memoryMiB, vcpus, process, mode, autoRemove }) => {
        const { reference, digest, run } = this.#image(image)
        const guest = this.addGuest({
          id: randomBytes(32).toString('hex'),
          name: name ?? `${reference.replace(/.*\//, '').replace(/:.*/, '')}-1`,
          image: reference,
          imageDigest: digest,
          command: process.command ?? run.command,
          state: 'created',
          mode,
          memoryMiB,
          vcpus,
          createdAt: new Date().toISOString(),
          terminal: process.terminal,
          autoRemove,
          ports: [],
        })
        return { id: guest.summary.id, name: guest.summary.name, warnings: [] }
      },
      'guests.start': ({ guest }) => {
        const { id } = this.find(guest).summary
        this.changeGuest(id, { state: 'running', startedAt: new Date().toISOString(), domid: 7 })
        return {}
      },
      'guests.stop': ({ guest }) => {
        const { id } = this.find(guest).summary
        this.exitGuest(id, {
          reason: 'signalled',
          code: 143,
          signal: 15,
          message: 'The program was ended by signal 15 (SIGTERM)',
          finishedAt: new Date().toISOString(),
        })
        return {}
      },
      'guests.kill': ({ guest }) => {
        const { id } = this.find(guest).summary
        this.exitGuest(id, {
          reason: 'killed',
          code: 137,
          message: 'The guest was killed',
          finishedAt: new Date().toISOString(),
        })
        return {}
      },
      'guests.pause': ({ guest }) => {
        this.changeGuest(this.find(guest).summary.id, { state: 'paused' })
        return {}
      },
      'guests.unpause': ({ guest }) => {
        this.changeGuest(this.find(guest).summary.id, { state: 'running' })
        return {}
      },
      'guests.remove': ({ guest }) => {
        const { id, name } = this.find(guest).summary
        this.guests.delete(id)
        this.notify({ type: 'guest-removed', id, name })
        return {}
      },
      'guests.list': ({ all }) =>
        [...this.guests.values()]
          .map(({ summary }) => summary)
          .filter(({ state }) => all || (state !== 'exited' && state !== 'created')),
      'guests.inspect': ({ guest }) => {
        const { summary } = this.find(guest)
        return {
          ...summary,
          hostname: summary.name,
          network: {
            kind: 'nat',
            mac: '00:16:3e:3b:1c:5c',
            ipv4: '10.75.92.31',
            ipv6: 'fdd4:1476:6c7e::a4b:5c1f',
            guests: true,
            ports: summary.ports,
            policy: [],
          },
          readOnlyRoot: false,
          labels: {},
          process: {
            argv: summary.command,
            env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'HOME=/root'],
            cwd: '/',
            user: 'root',
            groups: [],
            terminal: summary.terminal,
            stdin: summary.terminal,
          },
          kernel: '/boot/vmlinuz-6.1.0-43-amd64',
          kernelArguments: [],
          logPath: `/var/log/bulkhead/guests/${summary.id}/stdio.log`,
          bootLogPath: `/var/log/bulkhead/guests/${summary.id}/boot.log`,
          launch: [
            { step: 'resolve image', ms: 2 },
            { step: 'root image', ms: 1 },
            { step: 'build domain', ms: 84 },
            { step: 'devices', ms: 11 },
            { step: 'boot', ms: 702 },
          ],
        }
      },
      'streams.open': (request) => ({ ticket: this.#ticket(this.#stream(request)) }),
      'jobs.list': () => [...this.jobs.values()],
      'jobs.get': ({ job }) => this.#job(job),
      'jobs.cancel': ({ job }) => {
        this.putJob({ ...this.#job(job), state: 'cancelled', finishedAt: new Date().toISOString() })
        return {}
      },
    }
  }

  #ticket(accepted: AcceptedTicket): string {
    const ticket = randomUUID()
    this.#tickets.set(ticket, accepted)
    return ticket
  }

  #stream({ guest, kind }: OpenStream): AcceptedTicket {
    const { summary, stdio, console } = this.find(guest)
    const terminal = kind === 'stdio' && summary.terminal
    return { kind, terminal, serve: (end) => (kind === 'stdio' ? stdio : console).serve(end) }
  }

  #import(job: Job, sizeBytes: number): AcceptedTicket {
    return {
      kind: 'import',
      terminal: false,
      serve: (end) => {
        const chunks: Buffer[] = []
        end.onFrame(({ kind, payload, offset }) => {
          if (kind === 'data') {
            chunks.push(Buffer.from(payload))
            const bytesDone = offset + payload.length
            end.send('ack', 0, bytesDone)
            this.putJob({
              ...job,
              progress: { phase: 'receive', bytesDone, bytesTotal: sizeBytes, layers: [] },
            })
          } else if (kind === 'end') {
            this.imports.push(Buffer.concat(chunks))
            end.end()
            this.putJob({ ...job, state: 'done', finishedAt: new Date().toISOString() })
          }
        })
      },
    }
  }

  #image(key: string): ImageDetails {
    for (const image of this.images.values())
      if (image.reference === key || image.digest === key) return image
    throw new BulkheadError('image.not-found', `No image is called "${key}"`, { hint: 'Pull it first.' })
  }

  #job(id: string): Job {
    const job = this.jobs.get(id)
    if (job === undefined) throw new BulkheadError('job.not-found', `No job has the id ${id}`)
    return job
  }
}

function summaryOf(image: ImageDetails): ImageSummary {
  const { reference, digest, createdAt, pulledAt, sizeBytes, platform, usedBy } = image
  return {
    reference,
    digest,
    sizeBytes,
    platform,
    usedBy,
    ...(createdAt === undefined ? {} : { createdAt }),
    ...(pulledAt === undefined ? {} : { pulledAt }),
  }
}

export function runningJob(kind: Job['kind'], title: string): Job {
  return {
    id: randomUUID(),
    kind,
    title,
    state: 'running',
    startedAt: new Date().toISOString(),
    progress: { phase: 'resolve', bytesDone: 0, bytesTotal: 0, layers: [] },
    references: [],
  }
}
