// One lab from restore to power-off: the machine, its secrets, its forwards, and the state that is shown to clients.

import { randomBytes } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { copyFile } from 'node:fs/promises'
import { agentTcpPort, type CoreRequest, type CoreStatus, coreTcpPort } from '../agent/protocol.ts'
import { LabError } from '../errors.ts'
import { consoleTail, Machine } from '../qemu/machine.ts'
import { coreAnswers } from './dom0-connection.ts'
import type { DaemonConfig, LabState, LabStatus } from './messages.ts'
import { PortForwards } from './port-forwards.ts'

const coreTimeoutMs = 90_000
const corePollMs = 100
/** A core host that died so often before it answered will not answer. */
const coreDeathLimit = 4
const poweroffTimeoutMs = 20_000

interface RunningLabEvents {
  progress: [string]
  settled: []
}

export class RunningLab extends EventEmitter<RunningLabEvents> {
  readonly config: DaemonConfig
  readonly agentToken = randomBytes(32).toString('hex')
  readonly coreToken: string
  readonly startedAt = new Date()
  agentPort = 0
  corePort = 0
  #machine: Machine | undefined
  #forwards: PortForwards | undefined
  #core: CoreStatus | null = null
  #coreImage: string
  #isSettled = false
  #state: LabState = 'starting'
  #detail = 'starting'
  #failure: LabError | undefined

  constructor(config: DaemonConfig) {
    super()
    this.config = config
    this.#coreImage = config.coreImage
    this.coreToken = config.snapshot.warm?.coreToken ?? randomBytes(32).toString('hex')
  }

  get machine(): Machine {
    if (!this.#machine) throw this.#unusable()
    return this.#machine
  }

  get forwards(): PortForwards {
    if (!this.#forwards) throw this.#unusable()
    return this.#forwards
  }

  /** Whether programs can be run in dom0, which holds even where the core host does not come up. */
  get isReachable(): boolean {
    return this.#isSettled
  }

  status(): LabStatus {
    const { name, files, machine } = this.config
    return {
      name,
      state: this.#state,
      detail: this.#detail,
      daemonProcessId: process.pid,
      qemuProcessId: this.#machine?.process.pid ?? null,
      memoryMiB: machine.memoryMiB,
      dom0MemoryMiB: machine.dom0MemoryMiB,
      accelerator: machine.accelerator.kind,
      startedAt: this.startedAt.toISOString(),
      core: this.#core,
      coreImage: this.#coreImage,
      coreSocket: files.coreSocket,
      forwards: this.#forwards?.list() ?? [],
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
      await this.#restore()
      if (this.config.runsCore) {
        this.#progress('waiting for the core host in dom0 to answer')
        await this.awaitCore()
      }
      this.#state = 'ready'
      this.#detail = 'ready'
    } catch (cause) {
      this.#state = 'failed'
      this.#failure =
        cause instanceof LabError
          ? cause
          : new LabError('lab.boot', `Cannot start the lab: ${String(cause)}`, { cause })
      this.#detail = this.#failure.message
    }
    this.emit('settled')
  }

  /** Calls back once QEMU has ended, at once if it never came up. */
  onMachineEnd(callback: (how: string) => void): void {
    if (this.#isSettled) this.machine.ended.then(callback)
    else callback(this.#detail)
  }

  /** Resolves with how the core host stands after `request`. */
  async core(request: CoreRequest): Promise<CoreStatus> {
    this.#core = (await this.machine.control.request(request)) as CoreStatus
    return this.#core
  }

  /** Starts the core host if it does not run and resolves when it answers; rejects with `lab.core`. */
  async awaitCore(): Promise<void> {
    const { starts } = await this.core({ verb: 'core', action: 'start' })
    const deadlineMs = Date.now() + coreTimeoutMs
    while (!(await coreAnswers(this.corePort, this.coreToken))) {
      const died = (this.#core?.starts ?? starts) - starts
      if (died >= coreDeathLimit || Date.now() > deadlineMs) {
        const why =
          died > 0
            ? `it ended ${died} times, at last with ${this.#core?.lastEnd}`
            : `no answer in ${coreTimeoutMs / 1000} s`
        throw new LabError('lab.core', `Cannot start the core host in dom0: ${why}`, {
          hint: `What it said: bulkhead lab exec --name ${this.config.name} -- tail /var/log/bulkhead/core-host.log`,
        })
      }
      await new Promise((resolve) => setTimeout(resolve, corePollMs))
    }
  }

  /** Replaces what is under /core; a core host that runs is started anew from there. */
  async deliverCore(image: string): Promise<void> {
    const { control } = this.machine
    const { wanted } = await this.core({ verb: 'core', action: 'status' })
    await this.core({ verb: 'core', action: 'stop' })
    await control.request({ verb: 'coreDisk', action: 'unmount' })
    // Into the same file, which QEMU has open.
    await copyFile(image, this.config.files.coreDisk)
    await control.request({ verb: 'coreDisk', action: 'mount' })
    this.#coreImage = image
    if (wanted) await this.awaitCore()
  }

  /** Shuts dom0 down in order, or ends QEMU when it does not listen. */
  async stop(): Promise<void> {
    this.#state = 'stopping'
    this.#detail = 'stopping'
    const machine = this.#machine
    if (!machine) return
    if (!this.config.isDisposable) {
      machine.control.request({ verb: 'poweroff' }).catch(() => {})
      const timeout = new AbortController()
      const timer = setTimeout(() => timeout.abort(), poweroffTimeoutMs)
      await Promise.race([machine.ended, once(timeout.signal, 'abort')])
      clearTimeout(timer)
    }
    await machine.kill()
  }

  async #restore(): Promise<void> {
    const { files, machine: options, snapshot, isDisposable, name } = this.config
    this.#progress('restoring the booted machine')
    const machine = await Machine.start(
      options,
      {
        ram: snapshot.ram,
        isRamShared: this.config.isRamShared,
        coreDisk: files.coreDisk,
        stateDisk: files.stateDisk,
        isDisposable,
        isIncoming: true,
      },
      files.consoleLog,
    )
    this.#machine = machine
    machine.control.on('core', (status) => {
      this.#core = status
    })
    const died = machine.ended.then((how) => {
      throw new LabError(
        'lab.boot',
        `Cannot restore the lab: QEMU ended with ${how}\n${consoleTail(files.consoleLog)}`,
      )
    })
    died.catch(() => {})
    await Promise.race([died, machine.restore(snapshot.state)])
    this.#forwards = new PortForwards(machine.qmp)
    this.agentPort = await this.#forwards.add('tcp', agentTcpPort)
    this.corePort = await this.#forwards.add('tcp', coreTcpPort)
    this.#progress('giving dom0 its clock and disks')
    const settled = machine.control.request({
      verb: 'settle',
      token: this.agentToken,
      timeMs: Date.now(),
      entropy: randomBytes(256).toString('base64'),
      hostName: name === 'default' ? 'lab' : `lab-${name}`,
      ...(snapshot.warm ? {} : { coreToken: this.coreToken }),
    })
    await Promise.race([died, settled])
    this.#isSettled = true
  }

  #unusable(): LabError {
    return new LabError(
      'lab.state',
      `Cannot use the lab "${this.config.name}": ${this.#state}, ${this.#detail}`,
    )
  }

  #progress(line: string): void {
    this.#detail = line
    this.emit('progress', line)
  }
}
