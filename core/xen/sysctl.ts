// HYPERVISOR_sysctl: the machine, the list of domains, the hypervisor's log. Source: xen/include/public/sysctl.h.
import { size, structLayout, u8, u16, u32 } from '../sys/struct-layout.ts'
import { type DomainInfo, decodeDomainInfo } from './domain-info.ts'
import { HYPERCALL } from './hypercall-numbers.ts'
import type { Hypercalls } from './hypercalls.ts'

const COMMAND = { readConsole: 1, physicalInfo: 3, getDomainInfoList: 6 } as const

const SYSCTL_SIZE_BYTES = 136
const PAYLOAD_OFFSET = 8

const header = structLayout('struct xen_sysctl', SYSCTL_SIZE_BYTES, {
  command: u32(0),
  interfaceVersion: u32(4),
})
const readConsoleArgument = structLayout('struct xen_sysctl_readconsole', 24, {
  clear: u8(0),
  incremental: u8(1),
  index: u32(4),
  buffer: size(8),
  count: u32(16),
})
const physicalInfoArgument = structLayout('struct xen_sysctl_physinfo', 32, {
  threadsPerCore: u32(0),
  coresPerSocket: u32(4),
  cpus: u32(8),
  nodes: u32(16),
  cpuKhz: u32(24),
  capabilities: u32(28),
})
const physicalInfoPages = structLayout('struct xen_sysctl_physinfo from total_pages', 24, {
  total: size(0),
  free: size(8),
  scrubbing: size(16),
})
const domainInfoListArgument = structLayout('struct xen_sysctl_getdomaininfolist', 24, {
  firstDomain: u16(0),
  maxDomains: u32(4),
  buffer: size(8),
  count: u32(16),
})

// XEN_SYSCTL_PHYSCAP_*
const CAPABILITY = { hvm: 0x1, pv: 0x2, iommu: 0x4, hap: 0x8, shadow: 0x10 } as const

export interface PhysicalInfo {
  readonly cpus: number
  readonly threadsPerCore: number
  readonly coresPerSocket: number
  readonly numaNodes: number
  readonly cpuKhz: number
  readonly totalPages: number
  /** Free now; what is being scrubbed comes on top soon. */
  readonly freePages: number
  readonly scrubbingPages: number
  readonly totalMemoryMiB: number
  /** What a new domain can have; includes memory that Xen is still scrubbing. */
  readonly freeMemoryMiB: number
  readonly hasPv: boolean
  readonly hasHvm: boolean
  readonly hasHardwareAssistedPaging: boolean
}

const PAGES_PER_MIB = 256

/** The machine as Xen sees it. Pages are 4 KiB. */
export function readPhysicalInfo(hypercalls: Hypercalls): PhysicalInfo {
  using call = new SysctlCall(hypercalls, COMMAND.physicalInfo)
  call.run('ask Xen about the machine')
  const info = physicalInfoArgument.at(call.payload)
  const pages = physicalInfoPages.at(call.payload, hypercalls.interfaceVersion.physicalInfoPages)
  const { capabilities } = info
  return {
    cpus: info.cpus,
    threadsPerCore: info.threadsPerCore,
    coresPerSocket: info.coresPerSocket,
    numaNodes: info.nodes,
    cpuKhz: info.cpuKhz,
    totalPages: pages.total,
    freePages: pages.free,
    scrubbingPages: pages.scrubbing,
    totalMemoryMiB: pages.total / PAGES_PER_MIB,
    freeMemoryMiB: (pages.free + pages.scrubbing) / PAGES_PER_MIB,
    hasPv: (capabilities & CAPABILITY.pv) !== 0,
    hasHvm: (capabilities & CAPABILITY.hvm) !== 0,
    hasHardwareAssistedPaging: (capabilities & CAPABILITY.hap) !== 0,
  }
}

const DOMAINS_PER_CALL = 512

/** All domains, dom0 and dying ones included, by rising number. */
export function listDomains(hypercalls: Hypercalls): readonly DomainInfo[] {
  const domains: DomainInfo[] = []
  const stride = hypercalls.interfaceVersion.domainInfoSizeBytes
  for (let first = 0; ; ) {
    using call = new SysctlCall(hypercalls, COMMAND.getDomainInfoList)
    const list = call.scope.allocate(DOMAINS_PER_CALL * stride)
    const argument = domainInfoListArgument.at(call.payload)
    argument.firstDomain = first
    argument.maxDomains = DOMAINS_PER_CALL
    argument.buffer = list.address
    call.run('list the domains')
    for (let index = 0; index < argument.count; index++) {
      domains.push(decodeDomainInfo(list.view, index * stride))
    }
    const last = domains.at(-1)
    if (argument.count < DOMAINS_PER_CALL || last === undefined) return domains
    first = last.domid + 1
  }
}

const CONSOLE_CHUNK_BYTES = 64 * 1024

export interface ConsoleRead {
  readonly text: Uint8Array<ArrayBuffer>
  /** Give it to the next call to read on from here. */
  readonly index: number
}

/** Reads the hypervisor's log (`xl dmesg`), all of it or what came after `index`, and leaves it there. */
export function readConsoleRing(hypercalls: Hypercalls, index?: number): ConsoleRead {
  const chunks: Uint8Array[] = []
  let position = index
  for (;;) {
    using call = new SysctlCall(hypercalls, COMMAND.readConsole)
    const buffer = call.scope.allocate(CONSOLE_CHUNK_BYTES)
    const argument = readConsoleArgument.at(call.payload)
    argument.incremental = position === undefined ? 0 : 1
    argument.index = position ?? 0
    argument.buffer = buffer.address
    argument.count = CONSOLE_CHUNK_BYTES
    call.run("read the hypervisor's log")
    chunks.push(buffer.bytes.slice(0, argument.count))
    position = argument.index
    if (argument.count < CONSOLE_CHUNK_BYTES)
      return { text: new Uint8Array(Buffer.concat(chunks)), index: position }
  }
}

class SysctlCall implements Disposable {
  readonly scope
  readonly payload: DataView<ArrayBuffer>
  readonly #hypercalls: Hypercalls
  readonly #address: number

  constructor(hypercalls: Hypercalls, command: number) {
    this.#hypercalls = hypercalls
    this.scope = hypercalls.arena.scope()
    const { address, view } = this.scope.allocate(SYSCTL_SIZE_BYTES)
    this.#address = address
    const fields = header.at(view)
    fields.command = command
    fields.interfaceVersion = hypercalls.interfaceVersion.sysctl
    this.payload = new DataView(
      view.buffer,
      view.byteOffset + PAYLOAD_OFFSET,
      SYSCTL_SIZE_BYTES - PAYLOAD_OFFSET,
    )
  }

  run(action: string): void {
    this.#hypercalls.privcmd.hypercall(action, HYPERCALL.sysctl, this.#address)
  }

  [Symbol.dispose](): void {
    this.scope[Symbol.dispose]()
  }
}
