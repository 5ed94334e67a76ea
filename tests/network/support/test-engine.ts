// The real network engine, as a process of its own in the host's namespace, and the part of the core host that tells it
// what there is: guests, published ports, and all of it again when the engine was started anew.
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { NetEngineClient } from '../../../core/net/engine/engine-client.ts'
import type { ForwardMessage, GuestMessage } from '../../../core/net/engine/messages.ts'
import { openRawIcmp, type RawIcmp } from '../../../core/net/engine/raw-icmp.ts'
import { type EngineProcess, startEngine } from '../../../core/net/engine/start-engine.ts'
import { defaultSettings, type NetworkSettings } from '../../../core/net/settings.ts'
import { inNamespace } from '../../../core/sys/network-namespace.ts'
import { closeDescriptor } from '../../../core/sys/socket.ts'
import { ENGINE_PREFIX } from './abandoned.ts'
import { createGuest, type Guest, type GuestOptions } from './guest.ts'
import type { NetworkLab } from './network-lab.ts'
import { boundDescriptor } from './sockets.ts'

/** `nobody` of every Debian: the engine needs no rights once it listens. */
const UNPRIVILEGED = 65_534

export interface TestEngineOptions {
  readonly settings?: NetworkSettings
  /** Its /etc/resolv.conf. Without: the machine's own, of which a test must not ask. */
  readonly resolvConf?: string
}

interface Wire {
  readonly message: Omit<GuestMessage, 'type'>
  readonly fd: number
}

interface Published {
  readonly message: Omit<ForwardMessage, 'type'>
  readonly fd: number
}

export class TestEngine implements AsyncDisposable {
  readonly #lab: NetworkLab
  readonly #folder = mkdtempSync(`${ENGINE_PREFIX}-${process.pid}-`)
  readonly #settings: NetworkSettings
  readonly #execPath: string
  readonly #rawIcmp: RawIcmp
  readonly #wires = new Map<string, Wire>()
  readonly #published: Published[] = []
  /** What it said, for the message of a test that fails. */
  readonly log: string[] = []
  /** Neither the engine nor the connection to it keeps this process from ending. */
  readonly #alive = setInterval(() => undefined, 60_000)
  #process: EngineProcess | undefined
  #client: NetEngineClient | undefined
  #guestCount = 0

  private constructor(lab: NetworkLab, { settings = defaultSettings, resolvConf = '' }: TestEngineOptions) {
    this.#lab = lab
    this.#settings = settings
    this.#execPath = this.#writeStarter(resolvConf)
    this.#rawIcmp = inNamespace(lab.host.path, () => openRawIcmp((line) => this.log.push(line)))
  }

  /** An engine that runs and listens. It ends with the lab. */
  static async start(lab: NetworkLab, options: TestEngineOptions = {}): Promise<TestEngine> {
    const engine = lab.use(new TestEngine(lab, options))
    await engine.start()
    return engine
  }

  get client(): NetEngineClient {
    if (this.#client === undefined) throw new Error('The engine does not run')
    return this.#client
  }

  get pid(): number {
    if (this.#process === undefined) throw new Error('The engine does not run')
    return this.#process.pid
  }

  /** Starts it and tells it everything that there is; without `guests` it waits for them. */
  async start({ guests = true }: { guests?: boolean } = {}): Promise<void> {
    const socketPath = join(this.#folder, 'net.sock')
    const log = (line: string) => {
      if (process.env.NETWORK_LOG !== undefined) process.stderr.write(`${line}\n`)
      this.log.push(line)
    }
    this.#process = await startEngine({
      socketPath,
      execPath: this.#execPath,
      uid: UNPRIVILEGED,
      gid: UNPRIVILEGED,
      descriptors: this.#settings.limits.descriptors,
      log,
    })
    this.#client = NetEngineClient.connect(socketPath, {
      log,
      onDeviceLost: (id, why) => log(`${id}: ${why}`),
    })
    await this.#client.hello(this.#settings, this.#rawIcmp)
    if (guests) {
      for (const { message, fd } of this.#wires.values()) this.#client.guest(message, fd)
      for (const { message, fd } of this.#published) this.#client.forward(message, fd)
      this.#client.synced()
    }
    await this.settle()
  }

  /** Ends it by SIGKILL, as a crash would. */
  async kill(): Promise<void> {
    process.kill(this.pid, 'SIGKILL')
    await this.#gone()
  }

  /** Ends it as the core host does. */
  async end(): Promise<void> {
    this.client.end()
    await this.#gone()
  }

  /** A guest whose kernel is a namespace's, connected to the engine. */
  async addGuest(options: GuestOptions = {}): Promise<Guest> {
    const guest = await createGuest(this.#lab, ++this.#guestCount, options)
    await this.connect(guest)
    return guest
  }

  /** Gives the engine a wire, which becomes the engine's to close, and waits until it has it. */
  async connect(wire: Wire): Promise<void> {
    this.#wires.set(wire.message.id, wire)
    this.client.guest(wire.message, wire.fd)
    await this.settle()
  }

  /** Takes a guest away, as when its domain is gone. */
  async removeGuest(id: string): Promise<void> {
    const wire = this.#wires.get(id)
    this.#wires.delete(id)
    this.client.guestGone(id)
    await this.settle()
    if (wire !== undefined) closeDescriptor(wire.fd)
  }

  /** Opens a port of the host that leads to a guest, until the lab's end or `unpublish()`. */
  async publish(message: Omit<ForwardMessage, 'type'>): Promise<void> {
    const { protocol, bind: address, hostPort: port } = message
    const fd = boundDescriptor(this.#lab.host, protocol, { address, port })
    this.#published.push({ message, fd })
    this.client.forward(message, fd)
    await this.settle()
  }

  async unpublish(message: Omit<ForwardMessage, 'type'>): Promise<void> {
    const index = this.#published.findIndex(({ message: known }) => known === message)
    const [published] = index < 0 ? [] : this.#published.splice(index, 1)
    this.client.forwardGone(message)
    await this.settle()
    if (published !== undefined) closeDescriptor(published.fd)
  }

  /** Resolves when the engine has done all that it was told. */
  async settle(): Promise<void> {
    await this.client.stats()
  }

  /** How many frames of a guest were not carried, by reason. */
  async drops(id: string): Promise<Readonly<Record<string, number>>> {
    const { guests } = await this.client.stats()
    const stats = guests.find(({ guest }) => guest === id)
    if (stats === undefined) throw new Error(`The engine does not know ${id}`)
    return stats.drops
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process !== undefined) await this.kill()
    const fds = [...this.#wires.values(), ...this.#published].map(({ fd }) => fd)
    for (const fd of fds) closeDescriptor(fd)
    this.#rawIcmp[Symbol.dispose]()
    rmSync(this.#folder, { recursive: true, force: true })
    clearInterval(this.#alive)
  }

  async #gone(): Promise<void> {
    await this.#process?.ended
    this.#client?.[Symbol.dispose]()
    this.#client = undefined
    this.#process = undefined
    rmSync(join(this.#folder, 'net.sock'), { force: true })
  }

  /** Node, in the host's namespace and with a resolv.conf of its own. */
  #writeStarter(resolvConf: string): string {
    const resolver = join(this.#folder, 'resolv.conf')
    const starter = join(this.#folder, 'start')
    writeFileSync(resolver, resolvConf)
    const inside = `mount --bind ${resolver} /etc/resolv.conf && exec ${process.execPath} "$@"`
    const enter = `nsenter --net=${this.#lab.host.path} unshare --mount --propagation private`
    writeFileSync(starter, `#!/bin/sh\nexec ${enter} sh -c '${inside}' sh "$@"\n`)
    chmodSync(this.#folder, 0o755)
    chmodSync(starter, 0o755)
    return starter
  }
}
