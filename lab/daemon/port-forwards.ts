// Ports of this machine's loopback that QEMU's user-mode network carries into dom0.

import { createServer } from 'node:net'
import { LabError } from '../errors.ts'
import type { Qmp } from '../qemu/qmp.ts'
import type { Forward } from './messages.ts'

const attempts = 20
const hostAddress = '127.0.0.1'

export class PortForwards {
  readonly #qmp: Qmp
  readonly #forwards: Forward[] = []

  constructor(qmp: Qmp) {
    this.#qmp = qmp
  }

  list(): readonly Forward[] {
    return this.#forwards
  }

  /** Opens `hostPort`, or a free one, and returns it. Rejects with `lab.forward` when the port is taken. */
  async add(protocol: 'tcp' | 'udp', dom0Port: number, hostPort?: number): Promise<number> {
    for (let attempt = 0; attempt < attempts; attempt++) {
      const port = hostPort ?? (await freePort())
      const complaint = await this.#qmp.runHuman(
        `hostfwd_add net ${protocol}:${hostAddress}:${port}-:${dom0Port}`,
      )
      if (complaint === '') {
        this.#forwards.push({ protocol, hostAddress, hostPort: port, dom0Port })
        return port
      }
      if (hostPort !== undefined) {
        throw new LabError(
          'lab.forward',
          `Cannot forward ${hostAddress}:${hostPort} into the lab: ${complaint}`,
        )
      }
    }
    throw new LabError(
      'lab.forward',
      `Cannot forward a port into the lab: ${attempts} free ports were taken at once`,
    )
  }

  async remove(protocol: 'tcp' | 'udp', hostPort: number): Promise<void> {
    const index = this.#forwards.findIndex((one) => one.protocol === protocol && one.hostPort === hostPort)
    if (index < 0)
      throw new LabError('lab.forward', `Cannot stop forwarding ${protocol} ${hostPort}: it is not forwarded`)
    await this.#qmp.runHuman(`hostfwd_remove net ${protocol}:${hostAddress}:${hostPort}`)
    this.#forwards.splice(index, 1)
  }
}

/** Another process may take it before QEMU does; the caller tries again then. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.on('error', reject)
    server.listen(0, hostAddress, () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })
}
