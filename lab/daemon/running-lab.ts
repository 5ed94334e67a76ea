// One lab from restore to power-off: the machine, its secrets, its forwards, and the state that is shown to clients.

import { randomBytes } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { agentTcpPort, type CoreRequest, type CoreStatus, coreTcpPort } from '../agent/protocol.ts'
import { LabError } from '../errors.ts'
import { consoleTail, Machine } from '../qemu/machine.ts'
import { coreAnswers } from './dom0-connection.ts'
import type { DaemonConfig, LabState, LabStatus } from './messages.ts'
import { PortForwards } from './port-forwards.ts'

const coreTimeoutMs = 90_000
const corePollMs = 100
/** A core host that died so often before it ever answered will not answer. */
const coreStartLimit = 5
const poweroffTimeoutMs = 20_000

interface RunningLabEvents {
  progress: [string]
  settled: []
}

export class RunningLab extends EventEmitter<RunningLabEvents> {
  readonly config: DaemonConfig
  readonly token = randomBytes(32).toString('hex')
  readonly startedAt = new Date()
  agentPort = 0
  corePort = 0
  #machine: Machine | undefined
  #forwards: PortForwards | undefined
  #core: CoreStatus | null = null
  #state: LabState = 'starting'
  #detail = 'starting'
  #failure: LabError | undefined

  constructor(config: DaemonConfig) {
    super()
    this.config = config
  }

  get machine(): Machine {
    if (!this.#machine)
      throw new LabError('lab.state', `Cannot use the lab "${this.config.name}": it is ${this.#detail}`)
    return this.#machine
  }

  get forwards(): PortForwards {
    if (!this.#forwards)
      throw new LabError('lab.state', `Cannot use the lab "${this.config.name}": it is ${this.#detail}`)
    return this.#forwards
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
      if (this.config.runsCore) await this.#startCore()
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

  async core(request: CoreRequest): Promise<CoreStatus> {
    this.#core = (await this.machine.control.request(request)) as CoreStatus
    return this.#core
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
        isRamShared: false,
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
      token: this.token,
      timeMs: Date.now(),
      entropy: randomBytes(256).toString('base64'),
      hostName: name === 'default' ? 'lab' : `lab-${name}`,
      mountCore: true,
      mountState: true,
    })
    await Promise.race([died, settled])
  }

  async #startCore(): Promise<void> {
    this.#progress('waiting for the core host in dom0 to answer')
    await this.core({ verb: 'core', action: 'start' })
    const deadlineMs = Date.now() + coreTimeoutMs
    while (!(await coreAnswers(this.corePort, this.token))) {
      const { starts = 0, lastEnd = null } = this.#core ?? {}
      const isHopeless = starts >= coreStartLimit
      if (isHopeless || Date.now() > deadlineMs) {
        const why =
          lastEnd === null
            ? `no answer in ${coreTimeoutMs / 1000} s`
            : `it ended ${starts} times, at last with ${lastEnd}`
        throw new LabError('lab.core', `Cannot start the core host in dom0: ${why}`, {
          hint: `Its log: bulkhead lab exec -- cat /var/log/bulkhead/core-host.log`,
        })
      }
      await new Promise((resolve) => setTimeout(resolve, corePollMs))
    }
  }

  #progress(line: string): void {
    this.#detail = line
    this.emit('progress', line)
  }
}
