// One user's access to the hypervisor: the privcmd device, memory for arguments and the interface version that
// answered. Not shared between threads: a Worker that builds domains opens its own. The calls themselves are
// functions in domctl.ts, sysctl.ts, memory-op.ts, event-channel-op.ts, mmuext-op.ts and xen-version.ts.
import { constants, existsSync } from 'node:fs'
import { type FileDescriptor, openFile } from '../sys/file-descriptor.ts'
import { isSystemError } from '../sys/system-error.ts'
import { isXenError, XenError } from './errors.ts'
import { HypercallArena } from './hypercall-arena.ts'
import { HYPERCALL } from './hypercall-numbers.ts'
import { candidatesFor, type InterfaceVersion } from './interface-versions.ts'
import { PAGE_SIZE, Privcmd } from './privcmd.ts'
import { readXenVersion, type XenVersion } from './xen-version.ts'

// Room for the frame lists of populate_physmap and for a domain list of a few thousand entries.
const ARENA_SIZE_BYTES = 256 * PAGE_SIZE

export class Hypercalls implements Disposable {
  readonly privcmd: Privcmd
  readonly arena: HypercallArena
  readonly xenVersion: XenVersion
  readonly interfaceVersion: InterfaceVersion
  readonly #hypercallDevice: FileDescriptor

  constructor(privcmd: Privcmd, hypercallDevice: FileDescriptor) {
    this.privcmd = privcmd
    this.#hypercallDevice = hypercallDevice
    this.arena = new HypercallArena(hypercallDevice.fd, ARENA_SIZE_BYTES)
    this.xenVersion = readXenVersion(this)
    this.interfaceVersion = probeInterfaceVersion(this, this.xenVersion)
  }

  /** An arena of its own for a call that runs in the background; dispose it when the call is over. */
  createArena(sizeBytes = PAGE_SIZE): HypercallArena {
    return new HypercallArena(this.#hypercallDevice.fd, sizeBytes)
  }

  [Symbol.dispose](): void {
    this.arena[Symbol.dispose]()
    this.#hypercallDevice[Symbol.dispose]()
    this.privcmd[Symbol.dispose]()
  }
}

/** Opens the hypervisor. Throws XenError `not-dom0` (says which check failed) or `unsupported-version`. */
export function openHypercalls(): Hypercalls {
  const privcmd = openXenDevice('/dev/xen/privcmd')
  try {
    const hypercall = openXenDevice('/dev/xen/hypercall')
    try {
      return new Hypercalls(new Privcmd(privcmd), hypercall)
    } catch (error) {
      hypercall[Symbol.dispose]()
      throw error
    }
  } catch (error) {
    privcmd[Symbol.dispose]()
    throw error
  }
}

/**
 * Opens a device under /dev/xen for reading and writing. Throws XenError `not-dom0` with the check that
 * failed: no Xen, not the control domain, the module is missing, or no rights.
 */
export function openXenDevice(path: string, flags: number = constants.O_RDWR): FileDescriptor {
  try {
    return openFile(path, flags)
  } catch (error) {
    if (isSystemError(error, 'EACCES', 'EPERM')) {
      throw new XenError('not-dom0', `Cannot open ${path}: permission denied`, {
        hint: 'Run the core host as root.',
        cause: error,
      })
    }
    if (!isSystemError(error, 'ENOENT', 'ENXIO', 'ENODEV')) throw error
    throw new XenError('not-dom0', `Cannot open ${path}: ${whyMissing(path)}`, {
      hint: existsSync('/sys/hypervisor/type')
        ? `Load its module (modprobe ${moduleOf(path)}).`
        : 'Boot this machine with Xen, or use the built-in lab.',
      cause: error,
    })
  }
}

function whyMissing(path: string): string {
  if (!existsSync('/sys/hypervisor/type')) return 'this machine does not run under Xen'
  if (!existsSync(path)) return 'the device does not exist'
  return 'the device does not work here'
}

function moduleOf(path: string): string {
  const name = path.slice(path.lastIndexOf('/') + 1)
  // Both devices of drivers/xen/privcmd*.c are in one module.
  return name === 'hypercall' ? 'xen-privcmd' : `xen-${name}`
}

function probeInterfaceVersion(hypercalls: Hypercalls, xen: XenVersion): InterfaceVersion {
  for (const candidate of candidatesFor(`${xen.major}.${xen.minor}`)) {
    if (acceptsDomctl(hypercalls, candidate.domctl) && acceptsSysctl(hypercalls, candidate.sysctl)) {
      return candidate
    }
  }
  throw new XenError(
    'unsupported-version',
    `Cannot control Xen ${xen.text}: it accepts none of the control interfaces of Xen 4.14 to 4.22`,
    { hint: 'Use a released version of Xen, or a newer Bulkhead.' },
  )
}

// struct xen_domctl, 144 bytes: cmd u32@0, interface_version u32@4, domain u16@8. Dom0 always exists.
function acceptsDomctl(hypercalls: Hypercalls, version: number): boolean {
  using scope = hypercalls.arena.scope()
  const request = scope.allocate(144)
  request.view.setUint32(0, 5, true)
  request.view.setUint32(4, version, true)
  return accepts(hypercalls, HYPERCALL.domctl, request.address)
}

// struct xen_sysctl, 136 bytes: cmd u32@0 (3 = physinfo), interface_version u32@4.
function acceptsSysctl(hypercalls: Hypercalls, version: number): boolean {
  using scope = hypercalls.arena.scope()
  const request = scope.allocate(136)
  request.view.setUint32(0, 3, true)
  request.view.setUint32(4, version, true)
  return accepts(hypercalls, HYPERCALL.sysctl, request.address)
}

function accepts(hypercalls: Hypercalls, operation: number, request: number): boolean {
  try {
    hypercalls.privcmd.hypercall('ask Xen for its interface version', operation, request)
    return true
  } catch (error) {
    if (isXenError(error, 'EACCES')) return false
    if (isXenError(error, 'EPERM', 'ENOSYS')) {
      throw new XenError('not-dom0', 'Cannot control Xen: this domain is not the control domain (dom0)', {
        hint: 'Run Bulkhead in dom0.',
        cause: error,
      })
    }
    throw error
  }
}
