// Xen's control interface (domctl, sysctl) has no stable binary form: every call carries a version, and a
// wrong one is answered by EACCES. This table holds, for each release, its version numbers and the places
// where its structures differ for us. Compiled from the public headers of stable-4.14 to stable-4.22
// (xen/include/public/{domctl,sysctl,arch-x86/xen}.h): sizes and offsets by sizeof and offsetof.

export interface InterfaceVersion {
  /** `4.17` */
  readonly release: string
  readonly domctl: number
  readonly sysctl: number
  /** Offsets in struct xen_domctl_createdomain, which grew a field with nearly every release. */
  readonly createDomain: {
    /** grant_opts: the grant table version; it does not exist before 4.16. */
    readonly grantOptions: number | undefined
    readonly emulationFlags: number
  }
  /** sizeof(struct xen_domctl_getdomaininfo): the stride of domain lists. */
  readonly domainInfoSizeBytes: number
  /** Offset of total_pages in struct xen_sysctl_physinfo; the fields after it follow. */
  readonly physicalInfoPages: number
}

const before416 = { domainInfoSizeBytes: 104, physicalInfoPages: 32 }
const since417 = { domainInfoSizeBytes: 112, physicalInfoPages: 40 }
const since419 = { ...since417, createDomain: { grantOptions: 44, emulationFlags: 60 } }

export const interfaceVersions: readonly InterfaceVersion[] = [
  {
    ...before416,
    release: '4.14',
    domctl: 0x12,
    sysctl: 0x13,
    createDomain: { grantOptions: undefined, emulationFlags: 44 },
  },
  {
    ...before416,
    release: '4.15',
    domctl: 0x13,
    sysctl: 0x13,
    createDomain: { grantOptions: undefined, emulationFlags: 48 },
  },
  {
    domainInfoSizeBytes: 112,
    physicalInfoPages: 32,
    release: '4.16',
    domctl: 0x14,
    sysctl: 0x14,
    createDomain: { grantOptions: 44, emulationFlags: 52 },
  },
  {
    ...since417,
    release: '4.17',
    domctl: 0x15,
    sysctl: 0x15,
    createDomain: { grantOptions: 44, emulationFlags: 56 },
  },
  {
    ...since417,
    release: '4.18',
    domctl: 0x16,
    sysctl: 0x15,
    createDomain: { grantOptions: 44, emulationFlags: 56 },
  },
  { ...since419, release: '4.19', domctl: 0x17, sysctl: 0x15 },
  { ...since419, release: '4.20', domctl: 0x17, sysctl: 0x15 },
  { ...since419, release: '4.21', domctl: 0x17, sysctl: 0x16 },
  { ...since419, release: '4.22', domctl: 0x18, sysctl: 0x16 },
]

/**
 * The entries to try for a hypervisor that says it is `release`: its own first, then all others from the
 * newest, for a hypervisor with patches of its own.
 */
export function candidatesFor(release: string): readonly InterfaceVersion[] {
  const own = interfaceVersions.filter((entry) => entry.release === release)
  return [...own, ...interfaceVersions.toReversed().filter((entry) => entry.release !== release)]
}
