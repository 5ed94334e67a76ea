// /dev/xen/evtchn: event channels of dom0, any number on one descriptor. A port that has fired is masked until
// it is written back. Source: Linux, include/uapi/xen/evtchn.h, drivers/xen/evtchn.c.
import { constants } from 'node:fs'
import type { FileDescriptor } from '../sys/file-descriptor.ts'
import { ioctl, read, write } from '../sys/libc.ts'
import { allocateNativeMemory } from '../sys/native-memory.ts'
import { structLayout, u32 } from '../sys/struct-layout.ts'
import { isSystemError } from '../sys/system-error.ts'
import type { DomainId } from './domain-id.ts'
import { asXenError } from './errors.ts'
import { openXenDevice } from './hypercalls.ts'

const IOCTL_EVTCHN_BIND_INTERDOMAIN = 0x00084501
const IOCTL_EVTCHN_UNBIND = 0x00044503
const IOCTL_EVTCHN_NOTIFY = 0x00044504
const IOCTL_EVTCHN_RESET = 0x00004505

const bindInterdomain = structLayout('struct ioctl_evtchn_bind_interdomain', 8, {
  domain: u32(0),
  port: u32(4),
})
const onePort = structLayout('struct ioctl_evtchn_notify', 4, { port: u32(0) })

const PORT_BYTES = 4
const PORTS_PER_READ = 256

/** Ports that fired; undefined when the kernel lost count, and any of them may have. */
export type FiredPorts = readonly number[] | undefined

export class EventChannelDevice implements Disposable {
  readonly #device: FileDescriptor
  readonly #argument = allocateNativeMemory(bindInterdomain.sizeBytes)
  readonly #ports = allocateNativeMemory(PORTS_PER_READ * PORT_BYTES)
  readonly #portNumbers = new Uint32Array(this.#ports.bytes.buffer)

  constructor() {
    this.#device = openXenDevice('/dev/xen/evtchn', constants.O_RDWR | constants.O_NONBLOCK)
  }

  /** For poll(2). */
  get fd(): number {
    return this.#device.fd
  }

  /**
   * Binds a port that the domain opened for dom0: the local port, which fires once at once. Throws XenError
   * `attach-failed` (EINVAL) when the domain did not open it, or somebody has bound it: a port is a lock.
   */
  bind(domid: DomainId, remotePort: number): number {
    const argument = bindInterdomain.at(this.#argument.view)
    argument.domain = domid
    argument.port = remotePort
    try {
      return ioctl(
        this.#device.fd,
        IOCTL_EVTCHN_BIND_INTERDOMAIN,
        this.#argument.address,
        `bind event channel ${remotePort} of domain ${domid}`,
      )
    } catch (error) {
      throw asXenError(error, 'attach-failed', 'Another program may serve this guest.')
    }
  }

  unbind(port: number): void {
    this.#call(IOCTL_EVTCHN_UNBIND, port, 'close')
  }

  notify(port: number): void {
    this.#call(IOCTL_EVTCHN_NOTIFY, port, 'notify')
  }

  /** The ports that fired since the last call. Each is masked until `unmask()`. */
  read(): FiredPorts {
    try {
      const count = read(
        this.#device.fd,
        this.#ports.address,
        this.#ports.bytes.length,
        'read event channels',
      )
      return count === undefined ? [] : [...this.#portNumbers.subarray(0, count / PORT_BYTES)]
    } catch (error) {
      if (!isSystemError(error, 'EFBIG')) throw error
      ioctl(this.#device.fd, IOCTL_EVTCHN_RESET, 0, 'reset event channels')
      return undefined
    }
  }

  /** Lets a port fire again. Look at its ring after this, not before, or an event is missed. */
  unmask(port: number): void {
    this.#portNumbers[0] = port
    write(this.#device.fd, this.#ports.address, PORT_BYTES, `unmask event channel ${port}`)
  }

  [Symbol.dispose](): void {
    this.#device[Symbol.dispose]()
  }

  #call(request: number, port: number, verb: string): void {
    onePort.at(this.#argument.view).port = port
    ioctl(this.#device.fd, request, this.#argument.address, () => `${verb} event channel ${port}`)
  }
}
