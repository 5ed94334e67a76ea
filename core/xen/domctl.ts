// HYPERVISOR_domctl: creating, limiting, pausing and destroying domains. Source: xen/include/public/domctl.h.
import { size, structLayout, u16, u32 } from '../sys/struct-layout.ts'
import { DOM0, type DomainId, domainId, uuidToBytes } from './domain-id.ts'
import { type DomainInfo, decodeDomainInfo } from './domain-info.ts'
import { isXenError } from './errors.ts'
import type { ArenaScope, HypercallArena } from './hypercall-arena.ts'
import { HYPERCALL } from './hypercall-numbers.ts'
import type { Hypercalls } from './hypercalls.ts'

const COMMAND = {
  createDomain: 1,
  destroyDomain: 2,
  pauseDomain: 3,
  unpauseDomain: 4,
  getDomainInfo: 5,
  maxMemory: 11,
  setVcpuContext: 12,
  maxVcpus: 15,
  hypercallInit: 22,
} as const

const DOMCTL_SIZE_BYTES = 144
const PAYLOAD_OFFSET = 16
const PAYLOAD_SIZE_BYTES = DOMCTL_SIZE_BYTES - PAYLOAD_OFFSET

const header = structLayout('struct xen_domctl', DOMCTL_SIZE_BYTES, {
  command: u32(0),
  interfaceVersion: u32(4),
  domain: u16(8),
})
const createDomainArgument = structLayout('struct xen_domctl_createdomain', 44, {
  flags: u32(20),
  iommuOptions: u32(24),
  maxVcpus: u32(28),
  maxEventChannelPort: u32(32),
  maxGrantFrames: u32(36),
  maxMaptrackFrames: u32(40),
})
const HANDLE_OFFSET = 4
const maxVcpusArgument = structLayout('struct xen_domctl_max_vcpus', 4, { max: u32(0) })
const maxMemoryArgument = structLayout('struct xen_domctl_max_mem', 8, { maxKib: size(0) })
const vcpuContextArgument = structLayout('struct xen_domctl_vcpucontext', 16, {
  vcpu: u32(0),
  context: size(8),
})
const hypercallInitArgument = structLayout('struct xen_domctl_hypercall_init', 8, { frame: size(0) })

const INT32_DEFAULT = 0xffff_ffff // -1: the hypervisor's default

export interface CreateDomainOptions {
  readonly uuid: string
  readonly maxVcpus: number
  /** XEN_DOMCTL_CDF_*; 0 for PV. */
  readonly flags?: number
  /** XEN_X86_EMU_*; 0 for PV. */
  readonly emulationFlags?: number
  /** Bounds the hypervisor's memory for event channels; libxl's default too. */
  readonly maxEventChannelPort?: number
}

/** Creates a domain without memory or vCPUs, paused once. Returns its number. */
export function createDomain(hypercalls: Hypercalls, options: CreateDomainOptions): DomainId {
  using call = beginDomctl(hypercalls, COMMAND.createDomain, DOM0)
  const argument = createDomainArgument.at(call.payload)
  argument.flags = options.flags ?? 0
  argument.maxVcpus = options.maxVcpus
  argument.maxEventChannelPort = options.maxEventChannelPort ?? 1023
  argument.maxGrantFrames = INT32_DEFAULT
  argument.maxMaptrackFrames = INT32_DEFAULT
  uuidToBytes(options.uuid).forEach((byte, index) => {
    call.payload.setUint8(HANDLE_OFFSET + index, byte)
  })
  const { grantOptions, emulationFlags } = hypercalls.interfaceVersion.createDomain
  // The version of the grant table. 0 is refused where the field exists.
  if (grantOptions !== undefined) call.payload.setUint32(grantOptions, 1, true)
  call.payload.setUint32(emulationFlags, options.emulationFlags ?? 0, true)
  call.run(`create a domain with ${options.maxVcpus} vCPUs`)
  return call.domid
}

/** Allocates the vCPUs. Mandatory, with the number given to `createDomain()`. */
export function setMaxVcpus(hypercalls: Hypercalls, domid: DomainId, count: number): void {
  using call = beginDomctl(hypercalls, COMMAND.maxVcpus, domid)
  maxVcpusArgument.at(call.payload).max = count
  call.run(`give domain ${domid} ${count} vCPUs`)
}

/** Sets the most memory the domain may have, in KiB. */
export function setMaxMemory(hypercalls: Hypercalls, domid: DomainId, maxKib: number): void {
  using call = beginDomctl(hypercalls, COMMAND.maxMemory, domid)
  maxMemoryArgument.at(call.payload).maxKib = maxKib
  call.run(`limit domain ${domid} to ${maxKib} KiB`)
}

/** Sets a vCPU's registers; `context` is a struct vcpu_guest_context (vcpu-context.ts). */
export function setVcpuContext(
  hypercalls: Hypercalls,
  domid: DomainId,
  vcpu: number,
  context: Uint8Array,
): void {
  using call = beginDomctl(hypercalls, COMMAND.setVcpuContext, domid)
  const argument = vcpuContextArgument.at(call.payload)
  argument.vcpu = vcpu
  argument.context = call.scope.place(context).address
  call.run(`set the registers of vCPU ${vcpu} of domain ${domid}`)
}

/** Fills a guest's page with hypercall entry points (for kernels that name a HYPERCALL_PAGE). */
export function initializeHypercallPage(hypercalls: Hypercalls, domid: DomainId, frame: number): void {
  using call = beginDomctl(hypercalls, COMMAND.hypercallInit, domid)
  hypercallInitArgument.at(call.payload).frame = frame
  call.run(`fill the hypercall page of domain ${domid}`)
}

/** What Xen knows about the domain, or undefined where there is none. */
export function getDomainInfo(hypercalls: Hypercalls, domid: DomainId): DomainInfo | undefined {
  using call = beginDomctl(hypercalls, COMMAND.getDomainInfo, domid)
  try {
    call.run(`look up domain ${domid}`)
  } catch (error) {
    if (isXenError(error, 'ESRCH')) return undefined
    throw error
  }
  const info = decodeDomainInfo(call.payload)
  // Careful: up to 4.17 Xen answers for the next domain that exists.
  return info.domid === domid ? info : undefined
}

/** Pauses the domain once more (pauses are counted). */
export function pauseDomain(hypercalls: Hypercalls, domid: DomainId): void {
  using call = beginDomctl(hypercalls, COMMAND.pauseDomain, domid)
  call.run(`pause domain ${domid}`)
}

/** Takes one pause back. EINVAL when the domain is not paused. */
export function unpauseDomain(hypercalls: Hypercalls, domid: DomainId): void {
  using call = beginDomctl(hypercalls, COMMAND.unpauseDomain, domid)
  call.run(`unpause domain ${domid}`)
}

/**
 * Destroys the domain off the event loop: Xen gives its memory back, 0.2 s and more for a GiB. Resolves when
 * Xen is done; the domain stays `isDying` while somebody holds its pages. No error when it is gone already.
 */
export async function destroyDomain(hypercalls: Hypercalls, domid: DomainId): Promise<void> {
  using arena = hypercalls.createArena()
  for (;;) {
    using call = new DomctlCall(hypercalls, COMMAND.destroyDomain, domid, arena)
    try {
      await call.runInBackground(`destroy domain ${domid}`)
      return
    } catch (error) {
      if (isXenError(error, 'ESRCH')) return
      // EAGAIN: preempted (ERESTART, which Linux passes on as such). EBUSY: another call destroys it now.
      if (!isXenError(error, 'EAGAIN', 'EBUSY', 'EINTR')) throw error
    }
  }
}

function beginDomctl(hypercalls: Hypercalls, command: number, domid: DomainId): DomctlCall {
  return new DomctlCall(hypercalls, command, domid, hypercalls.arena)
}

/** A domctl in preparation: fill in `payload`, `run()`, read the answer from `payload`, dispose. */
class DomctlCall implements Disposable {
  readonly scope: ArenaScope
  readonly payload: DataView<ArrayBuffer>
  readonly #hypercalls: Hypercalls
  readonly #address: number
  readonly #header: ReturnType<typeof header.at>

  constructor(hypercalls: Hypercalls, command: number, domid: DomainId, arena: HypercallArena) {
    this.#hypercalls = hypercalls
    this.scope = arena.scope()
    const request = this.scope.allocate(DOMCTL_SIZE_BYTES)
    this.#address = request.address
    this.#header = header.at(request.view)
    this.#header.command = command
    this.#header.interfaceVersion = hypercalls.interfaceVersion.domctl
    this.#header.domain = domid
    const { view } = request
    this.payload = new DataView(view.buffer, view.byteOffset + PAYLOAD_OFFSET, PAYLOAD_SIZE_BYTES)
  }

  run(action: string): void {
    this.#hypercalls.privcmd.hypercall(action, HYPERCALL.domctl, this.#address)
  }

  async runInBackground(action: string): Promise<void> {
    await this.#hypercalls.privcmd.hypercallInBackground(action, HYPERCALL.domctl, this.#address)
  }

  /** The domain in the answer. */
  get domid(): DomainId {
    return domainId(this.#header.domain)
  }

  [Symbol.dispose](): void {
    this.scope[Symbol.dispose]()
  }
}
