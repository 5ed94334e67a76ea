// All guests of this host: making, starting, ending, removing them, and noticing what the hypervisor says.
import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type {
  ExitRecord,
  GuestDetails,
  GuestState,
  GuestSummary,
  ParsedParamsOf,
  PublishedPort,
} from '../api/methods.ts'
import type { DomainInfo } from '../xen/domain-info.ts'
import { GuestError } from './errors.ts'
import { exitRecord, type GuestEnd } from './exit-records.ts'
import { Guest } from './guest.ts'
import { findGuest, inventName } from './guest-names.ts'
import { type GuestRecord, guestFormatVersion, summaryOf } from './guest-record.ts'
import { GuestStore } from './guest-store.ts'
import type { HostServices } from './host-services.ts'
import { errorBody } from './jobs.ts'
import { type Launched, launch } from './launch.ts'
import { planProcess } from './process-plan.ts'
import { reconcile } from './reconcile.ts'
import { signalNumber } from './signals.ts'
import { dismantle } from './teardown.ts'

export class Guests {
  readonly #services: HostServices
  readonly #store: GuestStore
  readonly #guests = new Map<string, Guest>()
  readonly #running = new Map<string, Launched>()
  readonly #launching = new Map<string, AbortController>()
  readonly #stop = new AbortController()
  #watching: Promise<void> = Promise.resolve()

  constructor(services: HostServices) {
    this.#services = services
    this.#store = new GuestStore(join(services.stateFolder, 'guests'))
  }

  /** Reads the guests from disk, adopts those whose domains live, clears up after the others. */
  async open(): Promise<void> {
    const { log } = this.#services
    for (const record of await this.#store.load((_id, error) => log(error.message))) this.#add(record)
    await reconcile([...this.#guests.values()], this.#services, {
      adopted: (guest, launched) => this.#runs(guest, launched),
      ended: (guest, end) => this.#settle(guest, end),
    })
    this.#watching = this.#watchDomains().catch((error: unknown) => {
      if (!this.#stop.signal.aborted) log(`Cannot watch for domains that end: ${String(error)}`)
    })
  }

  /** Lets go of everything; domains keep running. */
  async close(): Promise<void> {
    this.#stop.abort()
    for (const launching of this.#launching.values()) launching.abort()
    await this.#watching
    await Promise.all([...this.#running.values()].map(({ link }) => link.detach()))
  }

  usersOf(digest: string): string[] {
    return [...this.#guests.values()]
      .filter(({ record }) => record.image.digest === digest)
      .map(({ name }) => name)
  }

  get digestsInUse(): string[] {
    return [...this.#guests.values()].map(({ record }) => record.image.digest)
  }

  get counts(): { running: number; total: number } {
    return { running: this.#running.size, total: this.#guests.size }
  }

  find(key: string): Guest {
    return findGuest(this.#guests.values(), key)
  }

  list(all: boolean): GuestSummary[] {
    return [...this.#guests.values()]
      .filter((guest) => all || guest.isAlive)
      .map(({ record }) => summaryOf(record))
  }

  inspect(key: string): GuestDetails {
    const guest = this.find(key)
    const { record } = guest
    const { process, stopSignal: _stopSignal, ...spec } = record.spec
    const domain = record.domid === undefined ? undefined : this.#domainOf(guest)
    return {
      ...summaryOf(record),
      hostname: spec.hostname,
      network: this.#services.network.details(record),
      readOnlyRoot: spec.readOnlyRoot,
      labels: { ...spec.labels },
      process: {
        argv: [...process.argv],
        env: [...process.env],
        cwd: process.cwd,
        user: process.user,
        groups: [...process.groups],
        terminal: process.terminal,
        stdin: process.stdin,
      },
      ...(record.kernel === undefined ? {} : { kernel: record.kernel }),
      kernelArguments: [...spec.kernelArguments],
      logPath: guest.stdioLogPath,
      bootLogPath: guest.bootLogPath,
      launch: [...(record.launch ?? [])],
      ...(domain === undefined
        ? {}
        : { cpuTimeNs: Number(domain.cpuTimeNs), memoryUsedMiB: Math.round(domain.totalPages / 256) }),
    }
  }

  async create(
    spec: ParsedParamsOf<'guests.create'>,
  ): Promise<{ id: string; name: string; warnings: string[] }> {
    if (spec.mode !== 'pv')
      throw new GuestError(
        'guest.mode',
        'Cannot make a guest of the mode "pvh": this version builds PV guests only',
        {
          hint: 'Leave the mode out.',
        },
      )
    const taken = (name: string) => [...this.#guests.values()].some((guest) => guest.name === name)
    if (spec.name !== undefined && taken(spec.name))
      throw new GuestError('guest.name-taken', `A guest called "${spec.name}" is there already`, {
        hint: `Choose another name, or remove that one with "bulkhead rm ${spec.name}".`,
      })
    const image = await this.#services.images.inspect(spec.image)
    const id = randomBytes(32).toString('hex')
    // Again: another guest may have taken the name while the image was looked up.
    const name = spec.name ?? inventName(taken)
    if (taken(name)) throw new GuestError('guest.name-taken', `A guest called "${name}" is there already`)
    const network = this.#services.network.reserve(id, spec.network)
    const record: GuestRecord = {
      formatVersion: guestFormatVersion,
      id,
      name,
      spec: {
        image: spec.image,
        mode: spec.mode,
        memoryMiB: spec.memoryMiB,
        vcpus: spec.vcpus,
        process: planProcess(spec.process, image.run),
        stopSignal: image.run.stopSignal ?? 'SIGTERM',
        hostname: spec.hostname ?? id.slice(0, 12),
        kernelArguments: spec.kernelArguments,
        network: spec.network,
        readOnlyRoot: spec.readOnlyRoot,
        autoRemove: spec.autoRemove,
        labels: spec.labels,
      },
      image: { reference: image.reference, digest: image.digest },
      createdAt: new Date(this.#services.now()).toISOString(),
      ...(network === undefined ? {} : { network }),
      state: 'created',
    }
    const guest = this.#add(record)
    try {
      await this.#store.save(record)
    } catch (error) {
      this.#guests.delete(id)
      this.#services.network.forget(id)
      throw error
    }
    this.#publish(guest)
    return { id, name, warnings: network === undefined ? [] : this.#services.network.warnings() }
  }

  /** Launches the guest; resolves when its program runs. `signal` ends the launch, and later only the waiting. */
  async start(key: string, signal: AbortSignal): Promise<void> {
    const guest = this.find(key)
    if (guest.isAlive) throw new GuestError('guest.running', `Guest "${guest.name}" is running already`)
    const { life } = guest
    const launching = new AbortController()
    this.#launching.set(guest.id, launching)
    const cancel = () => launching.abort()
    signal.addEventListener('abort', cancel, { once: true })
    try {
      delete guest.record.exit
      await this.#setState(guest, 'starting')
      const launched = await launch(guest, this.#services, launching.signal)
      guest.record.startedAt = new Date(this.#services.now()).toISOString()
      this.#runs(guest, launched)
    } catch (error) {
      await this.#launchFailed(guest, error)
      throw error
    } finally {
      this.#launching.delete(guest.id)
      signal.removeEventListener('abort', cancel)
    }
    await this.#setState(guest, 'running')
    await unlessAborted(life.started, signal)
  }

  async stop(params: ParsedParamsOf<'guests.stop'>): Promise<void> {
    const guest = this.find(params.guest)
    const launched = this.#runningOf(guest, 'stop')
    const signal = signalNumber(params.signal ?? guest.record.spec.stopSignal)
    if (guest.record.state === 'paused') await this.unpause(guest.id)
    await this.#setState(guest, 'stopping')
    const { life } = guest
    if (launched.link.hasChannel) launched.link.signal(signal)
    else await this.#services.xenstore.write(`/local/domain/${launched.domid}/control/shutdown`, 'poweroff')
    const isOver = await within(life.exit, params.timeoutSeconds * 1000)
    if (!isOver) life.endsWith({ reason: 'killed' })
    await life.exit
  }

  async kill(params: ParsedParamsOf<'guests.kill'>): Promise<void> {
    const guest = this.find(params.guest)
    const launched = this.#runningOf(guest, 'kill')
    const signal = params.signal === undefined ? undefined : signalNumber(params.signal)
    if (signal !== undefined && signal !== sigkill) {
      if (!launched.link.hasChannel)
        throw new GuestError(
          'guest.no-channel',
          `Cannot send a signal to guest "${guest.name}": guest-init has not answered yet`,
        )
      launched.link.signal(signal)
      return
    }
    guest.life.endsWith({ reason: 'killed' })
    await guest.life.exit
  }

  async pause(key: string): Promise<void> {
    const guest = this.find(key)
    const launched = this.#runningOf(guest, 'pause')
    if (guest.record.state === 'paused')
      throw new GuestError('guest.paused', `Guest "${guest.name}" is paused already`)
    this.#services.hypervisor.pause(launched.domid)
    await this.#setState(guest, 'paused')
  }

  async unpause(key: string): Promise<void> {
    const guest = this.find(key)
    const launched = this.#runningOf(guest, 'unpause')
    if (guest.record.state !== 'paused')
      throw new GuestError('guest.not-paused', `Guest "${guest.name}" is not paused`)
    this.#services.hypervisor.unpause(launched.domid)
    await this.#setState(guest, 'running')
  }

  async remove(key: string, force: boolean): Promise<void> {
    const guest = this.find(key)
    if (guest.isAlive) {
      if (!force)
        throw new GuestError('guest.running', `Cannot remove guest "${guest.name}": it is running`, {
          hint: `Stop it first, or end it by force with "bulkhead rm -f ${guest.name}".`,
        })
      this.#launching.get(guest.id)?.abort()
      guest.life.endsWith({ reason: 'killed' })
      await guest.life.exit.catch(() => undefined)
    }
    await this.#forget(guest)
  }

  /** Opens ports of the host into a running guest, all or none. They come back whenever it starts. */
  async publishPorts(params: ParsedParamsOf<'network.publish'>): Promise<PublishedPort[]> {
    const guest = this.find(params.guest)
    this.#runningOf(guest, 'publish ports of')
    const ports = await this.#services.network.publish(guest.record, params.ports)
    this.#publish(guest)
    await this.#store.save(guest.record)
    return ports
  }

  async unpublishPorts(params: ParsedParamsOf<'network.unpublish'>): Promise<void> {
    const guest = this.find(params.guest)
    this.#runningOf(guest, 'take back ports of')
    await this.#services.network.unpublish(guest.record, params.ports)
    this.#publish(guest)
    await this.#store.save(guest.record)
  }

  /** The network has lost ports of a guest: what is open now is written down and told. */
  portsChanged(id: string): void {
    const guest = this.#guests.get(id)
    if (guest !== undefined) void this.#setState(guest, guest.record.state)
  }

  async wait(key: string, signal: AbortSignal): Promise<ExitRecord> {
    const guest = this.find(key)
    const { exit } = guest.record
    if (exit !== undefined && !guest.isAlive) return exit
    return await unlessAborted(guest.life.exit, signal)
  }

  #add(record: GuestRecord): Guest {
    const { budget, logFolder, now, log } = this.#services
    const guest = new Guest({ record, budget, logFolder: join(logFolder, 'guests', record.id), now, log })
    this.#guests.set(record.id, guest)
    this.#services.network.know(record)
    return guest
  }

  #runningOf(guest: Guest, verb: string): Launched {
    const launched = this.#running.get(guest.id)
    if (launched === undefined)
      throw new GuestError('guest.not-running', `Cannot ${verb} guest "${guest.name}": it is not running`)
    return launched
  }

  /** From here on the guest's end, whoever brings it about, leads to its cleaning up. */
  #runs(guest: Guest, launched: Launched): void {
    guest.record.domid = launched.domid
    guest.record.kernel = launched.kernelPath
    guest.record.launch = launched.steps
    const { life } = guest
    life.ending
      .then((end) => this.#cleanUp(guest, launched, end))
      .catch((error: unknown) =>
        this.#services.fatal(`Cannot clean up after guest "${guest.name}": ${String(error)}`),
      )
    this.#running.set(guest.id, launched)
    life.linked(launched.link)
    this.#publish(guest)
  }

  async #cleanUp(guest: Guest, launched: Launched, end: GuestEnd): Promise<void> {
    guest.record.ending = end
    await this.#setState(guest, 'stopping')
    await dismantle(guest.record, launched, this.#services)
    this.#running.delete(guest.id)
    await this.#settle(guest, end)
  }

  /** Nothing is left of the domain: the end is written down and told. */
  async #settle(guest: Guest, end: GuestEnd): Promise<void> {
    const { record, life } = guest
    const exit = exitRecord(end, new Date(this.#services.now()))
    record.exit = exit
    delete record.ending
    delete record.domid
    if (record.network !== undefined) record.network.open = []
    await this.#setState(guest, 'exited')
    await life.streams.end()
    guest.forgetLife()
    if (record.spec.autoRemove) await this.#forget(guest)
    life.finished(exit)
  }

  async #launchFailed(guest: Guest, error: unknown): Promise<void> {
    const { life } = guest
    guest.forgetLife()
    delete guest.record.domid
    await this.#setState(guest, 'created')
    await life.failed(error)
    if (guest.record.spec.autoRemove) await this.#forget(guest)
  }

  async #forget(guest: Guest): Promise<void> {
    if (!this.#guests.delete(guest.id)) return
    this.#services.network.forget(guest.id)
    await this.#store.remove(guest.id)
    await rm(join(this.#services.logFolder, 'guests', guest.id), { recursive: true, force: true })
    this.#services.events.publish({ type: 'guest-removed', id: guest.id, name: guest.name })
  }

  async #setState(guest: Guest, state: GuestState): Promise<void> {
    guest.record.state = state
    this.#publish(guest)
    // A record that cannot be written must not keep a guest from ending: what is true is in memory.
    await this.#store.save(guest.record).catch((error: unknown) => {
      this.#services.log(`Cannot write the record of guest "${guest.name}": ${errorBody(error).message}`)
    })
  }

  #publish(guest: Guest): void {
    this.#services.events.publish({ type: 'guest', guest: summaryOf(guest.record) })
  }

  async #watchDomains(): Promise<void> {
    await using watch = await this.#services.xenstore.watch('@releaseDomain', { signal: this.#stop.signal })
    for await (const _changed of watch) {
      for (const guest of [...this.#guests.values()].filter(({ id }) => this.#running.has(id))) {
        try {
          this.#noticeEnd(guest)
        } catch (error) {
          this.#services.log(`Cannot see whether guest "${guest.name}" still runs: ${String(error)}`)
        }
      }
    }
  }

  #domainOf(guest: Guest): DomainInfo | undefined {
    const launched = this.#running.get(guest.id)
    return launched === undefined ? undefined : this.#services.hypervisor.domain(launched.domid)
  }

  /** The hypervisor's word: a domain that has shut down or is gone. */
  #noticeEnd(guest: Guest): void {
    const domain = this.#domainOf(guest)
    if (domain !== undefined && domain.shutdownReason === undefined && !domain.isDying) return
    const reason = domain?.shutdownReason
    const end: GuestEnd =
      domain === undefined || domain.isDying
        ? { reason: 'killed' }
        : reason === 'poweroff' || reason === 'reboot'
          ? { reason: 'powered-off' }
          : {
              reason: 'crashed',
              detail:
                reason === 'crash'
                  ? 'its kernel panicked or did what no guest may do'
                  : `Xen says "${reason}"`,
            }
    // The program's own end may still be in the ring: what was said first wins.
    const settle = () => guest.life.endsWith(end)
    this.#running.get(guest.id)?.link.drain().then(settle, settle)
  }
}

const sigkill = 9

async function within(promise: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), ms)
  })
  try {
    return await Promise.race([promise.then(() => true), late])
  } finally {
    clearTimeout(timer)
  }
}

function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) return Promise.reject(signal.reason)
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}
