// The core host of one lab, as the daemon sees it: started and watched by the agent in dom0, asked over its port,
// replaced on its disk.

import { copyFile } from 'node:fs/promises'
import type { CoreRequest, CoreStatus } from '../agent/protocol.ts'
import { LabError } from '../errors.ts'
import type { ControlPortClient } from '../qemu/control-port-client.ts'
import { coreAnswers } from './dom0-connection.ts'

/** Under emulation on a busy machine a start has taken 50 s. */
const answerTimeoutMs = 180_000
const pollMs = 100
/** A core host that died so often before it answered will not answer. */
const deathLimit = 4

export interface LabCoreOptions {
  readonly labName: string
  readonly control: ControlPortClient
  /** The forwarded port on this machine's loopback. */
  readonly port: number
  readonly token: string
  /** The lab's own disk, and the image that it was copied from. */
  readonly disk: string
  readonly image: string
}

export class LabCore {
  readonly port: number
  readonly token: string
  readonly #options: LabCoreOptions
  #image: string
  #status: CoreStatus | null = null

  constructor(options: LabCoreOptions) {
    this.port = options.port
    this.token = options.token
    this.#options = options
    this.#image = options.image
    options.control.on('core', (status) => {
      this.#status = status
    })
  }

  /** How it stood when the agent last said so; null before that. */
  get status(): CoreStatus | null {
    return this.#status
  }

  get image(): string {
    return this.#image
  }

  /** Resolves with how it stands after `request`. */
  async request(request: CoreRequest): Promise<CoreStatus> {
    const status = (await this.#options.control.request(request)) as CoreStatus
    this.#status = status
    return status
  }

  /** Starts it if it does not run and resolves when it answers; rejects with `lab.core`. */
  async awaitAnswer(): Promise<void> {
    const { starts } = await this.request({ verb: 'core', action: 'start' })
    const deadlineMs = Date.now() + answerTimeoutMs
    while (!(await coreAnswers(this.port, this.token))) {
      const deaths = (this.#status?.starts ?? starts) - starts
      if (deaths >= deathLimit || Date.now() > deadlineMs) throw this.#noAnswer(deaths)
      await new Promise((resolve) => setTimeout(resolve, pollMs))
    }
  }

  /** Replaces what is under /core by another image; a core host that runs is started anew from there. */
  async deliver(image: string): Promise<void> {
    const { control, disk } = this.#options
    const { wanted } = await this.request({ verb: 'core', action: 'status' })
    await this.request({ verb: 'core', action: 'stop' })
    await control.request({ verb: 'coreDisk', action: 'unmount' })
    // Into the same file, which QEMU has open.
    await copyFile(image, disk)
    await control.request({ verb: 'coreDisk', action: 'mount' })
    this.#image = image
    if (wanted) await this.awaitAnswer()
  }

  #noAnswer(deaths: number): LabError {
    const { labName } = this.#options
    const why =
      deaths > 0
        ? `it ended ${deaths} times, at last with ${this.#status?.lastEnd}`
        : `no answer in ${answerTimeoutMs / 1000} s`
    return new LabError('lab.core', `Cannot start the core host in dom0: ${why}`, {
      hint: `What it said: bulkhead lab shell --name ${labName} tail /var/log/bulkhead/core-host.log`,
    })
  }
}
