// One lab from restore to power-off: the machine, its secrets, its forwards, and the state that is shown to clients.

import { randomBytes } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { agentTcpPort, coreTcpPort } from '../agent/protocol.ts'
import { LabError } from '../errors.ts'
import { consoleTail, Machine } from '../qemu/machine.ts'
import { followPorts } from './core-ports.ts'
import { connectToDom0 } from './dom0-connection.ts'
import { LabCore } from './lab-core.ts'
import type { DaemonConfig, LabState, LabStatus } from './messages.ts'
import { PortForwards } from './port-forwards.ts'
import { PublishedPorts } from './published-ports.ts'

const poweroffTimeoutMs = 60_000

interface RunningLabEvents {
  progress: [string]
  settled: []
}

/** What there is of a lab once its dom0 can be used. */
interface Settled {
  readonly machine: Machine
  readonly forwards: PortForwards
  readonly agentPort: number
  readonly core: LabCore
  /** Of guests, as far as they can be reached on this machine. */
  readonly published: PublishedPorts
}

export class RunningLab extends EventEmitter<RunningLabEvents> {
  readonly config: DaemonConfig
  readonly agentToken = randomBytes(32).toString('hex')
  readonly coreToken: string
  readonly #startedAt = new Date()
  readonly #stopping = new AbortController()
  /** There from the start of QEMU, so that its console can be seen and its process ended. */
  #machine: Machine | undefined
  #settled: Settled | undefined
  #state: LabState = 'starting'
  #detail = 'starting'
  #failure: LabError | undefined

  constructor(config: DaemonConfig) {
    super()
    this.config = config
    this.coreToken = config.snapshot.warm?.coreToken ?? randomBytes(32).toString('hex')
  }

  /** What can be used while dom0 is up, even where the core host is not; throws `lab.state` before and after. */
  get dom0(): Settled {
    if (this.#settled && this.isReachable) return this.#settled
    throw new LabError(
      'lab.state',
      `Cannot use the lab "${this.config.name}": ${this.#state}, ${this.#detail}`,
    )
  }

  get isReachable(): boolean {
    return this.#settled !== undefined && this.#state !== 'stopping'
  }

  get machine(): Machine | undefined {
    return this.#machine
  }

  status(): LabStatus {
    const { name, files, machine, coreImage } = this.config
    return {
      name,
      state: this.#state,
      detail: this.#detail,
      daemonProcessId: process.pid,
      qemuProcessId: this.#machine?.process.pid ?? null,
      memoryMiB: machine.memoryMiB,
      dom0MemoryMiB: machine.dom0MemoryMiB,
      accelerator: machine.accelerator.kind,
      startedAt: this.#startedAt.toISOString(),
      core: this.#settled?.core.status ?? null,
      coreImage: this.#settled?.core.image ?? coreImage,
      coreSocket: files.coreSocket,
      forwards: this.#settled?.forwards.list() ?? [],
      published: this.#settled?.published.list() ?? [],
    }
  }

  /** Resolves when the lab can be used; rejects with what went wrong. */
  async whenReady(): Promise<void> {
    if (this.#state === 'starting') await once(this, 'settled')
    if (this.#failure) throw this.#failure
  }

  /** Brings the machine up; the outcome is told through `whenReady`. */
  async start(): Promise<void> {
    try {
      const { core, published } = await this.#restore()
      if (this.config.runsCore) {
        this.#progress('waiting for the core host in dom0 to answer')
        await core.awaitAnswer()
        // A machine that is to be saved must not remember a connection.
        if (!this.config.isRamShared) this.#follow(core, published)
      }
      this.#state = 'ready'
      this.#detail = 'ready'
    } catch (cause) {
      this.#state = 'failed'
      const isKnown = cause instanceof LabError
      this.#failure = isKnown
        ? cause
        : new LabError('lab.boot', `Cannot start the lab: ${String(cause)}`, { cause })
      this.#detail = this.#failure.message
    }
    this.emit('settled')
  }

  /** Calls back once QEMU has ended, at once if dom0 never came up. */
  onMachineEnd(callback: (how: string) => void): void {
    if (this.#settled) this.#settled.machine.ended.then(callback)
    else callback(this.#detail)
  }

  /** Shuts dom0 down in order, or ends QEMU when it does not listen or nobody needs what is on its disk. */
  async stop(): Promise<void> {
    this.#state = 'stopping'
    this.#detail = 'stopping'
    this.#stopping.abort()
    const machine = this.#machine
    if (!machine) return
    if (!this.config.isDisposable) {
      machine.control.request({ verb: 'poweroff' }).catch(() => {})
      await Promise.race([machine.ended, once(AbortSignal.timeout(poweroffTimeoutMs), 'abort')])
    }
    await machine.kill()
  }

  async #restore(): Promise<Settled> {
    const { files, machine: options, snapshot, isRamShared, isDisposable, name, coreImage } = this.config
    this.#progress('restoring the booted machine')
    const { ram } = snapshot
    const { coreDisk, stateDisk, consoleLog } = files
    const machine = await Machine.start(
      options,
      { ram, isRamShared, coreDisk, stateDisk, isDisposable, isIncoming: true },
      consoleLog,
    )
    this.#machine = machine
    const died = machine.ended.then((how) => {
      const story = consoleTail(consoleLog)
      throw new LabError('lab.boot', `Cannot restore the lab: QEMU ended with ${how}\n${story}`)
    })
    died.catch(() => {})
    await Promise.race([died, machine.restore(snapshot.state)])

    const forwards = new PortForwards(machine.qmp)
    const agentPort = await forwards.add('tcp', agentTcpPort)
    const port = await forwards.add('tcp', coreTcpPort)
    const { control } = machine
    const token = this.coreToken
    const core = new LabCore({ labName: name, control, port, token, disk: coreDisk, image: coreImage })

    this.#progress('giving dom0 its clock and disks')
    const settling = control.request({
      verb: 'settle',
      token: this.agentToken,
      timeMs: Date.now(),
      entropy: randomBytes(256).toString('base64'),
      hostName: name === 'default' ? 'lab' : `lab-${name}`,
      ...(snapshot.warm ? {} : { coreToken: this.coreToken }),
    })
    await Promise.race([died, settling])
    const published = new PublishedPorts((request) => {
      const relay = connectToDom0(agentPort, this.agentToken)
      relay.write(`${JSON.stringify(request)}\n`)
      return relay
    })
    this.#settled = { machine, forwards, agentPort, core, published }
    return this.#settled
  }

  #follow({ port, token }: LabCore, published: PublishedPorts): void {
    let updated: Promise<void> = Promise.resolve()
    void followPorts(
      () => connectToDom0(port, token),
      (ports) => {
        updated = updated.then(() => published.update(ports))
      },
      this.#stopping.signal,
    )
  }

  #progress(line: string): void {
    this.#detail = line
    this.emit('progress', line)
  }
}
