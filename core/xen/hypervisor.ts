// The hypervisor as the runtime sees it: what it is, which domains there are, and power over them.
import { type DomainId, domainId } from './domain-id.ts'
import type { DomainInfo } from './domain-info.ts'
import { destroyDomain, getDomainInfo, pauseDomain, unpauseDomain } from './domctl.ts'
import { openHypercalls } from './hypercalls.ts'
import { listDomains, type PhysicalInfo, readConsoleRing, readPhysicalInfo } from './sysctl.ts'
import { readCapabilities, readCommandLine } from './xen-version.ts'

export interface Hypervisor extends Disposable {
  /** `4.17.7` */
  readonly version: string
  /** For example `xen-3.0-x86_64 hvm-3.0-x86_64`. */
  readonly capabilities: string
  readonly commandLine: string
  physicalInfo(): PhysicalInfo
  /** All domains, dom0 and dying ones included. */
  domains(): readonly DomainInfo[]
  domain(domid: number): DomainInfo | undefined
  domainByUuid(uuid: string): DomainInfo | undefined
  /** Pauses are counted: two need two `unpause()`. */
  pause(domid: DomainId): void
  /** Throws XenError (EINVAL) when the domain is not paused. */
  unpause(domid: DomainId): void
  /** Resolves when Xen has taken the domain apart; see `destroyDomain()`. No error when it is gone already. */
  destroy(domid: DomainId): Promise<void>
  /** The hypervisor's log, as `xl dmesg` shows it. */
  readConsole(): string
}

/** Opens the hypervisor. Throws XenError `not-dom0` or `unsupported-version`, which say what to do. */
export function openHypervisor(): Hypervisor {
  const hypercalls = openHypercalls()
  return {
    version: hypercalls.xenVersion.text,
    capabilities: readCapabilities(hypercalls),
    commandLine: readCommandLine(hypercalls),
    physicalInfo: () => readPhysicalInfo(hypercalls),
    domains: () => listDomains(hypercalls),
    domain: (domid) => getDomainInfo(hypercalls, domainId(domid)),
    domainByUuid: (uuid) => listDomains(hypercalls).find((domain) => domain.uuid === uuid),
    pause: (domid) => pauseDomain(hypercalls, domid),
    unpause: (domid) => unpauseDomain(hypercalls, domid),
    destroy: (domid) => destroyDomain(hypercalls, domid),
    readConsole: () => Buffer.from(readConsoleRing(hypercalls).text).toString('utf8'),
    [Symbol.dispose]: () => hypercalls[Symbol.dispose](),
  }
}
