// HYPERVISOR_xen_version: what the hypervisor says about itself. Source: xen/include/public/version.h.
import type { HypercallArena } from './hypercall-arena.ts'
import { HYPERCALL } from './hypercall-numbers.ts'
import type { Privcmd } from './privcmd.ts'

const XENVER_VERSION = 0
const XENVER_EXTRAVERSION = 1
const XENVER_CAPABILITIES = 3
const XENVER_COMMANDLINE = 9
const EXTRAVERSION_SIZE_BYTES = 16
const CAPABILITIES_SIZE_BYTES = 1024
const COMMANDLINE_SIZE_BYTES = 1024

export interface XenVersion {
  readonly major: number
  readonly minor: number
  /** With the extra part: `4.17.7` */
  readonly text: string
}

interface CallAccess {
  readonly privcmd: Privcmd
  readonly arena: HypercallArena
}

export function readXenVersion(hypercalls: CallAccess): XenVersion {
  const version = hypercalls.privcmd.hypercall(
    'ask Xen for its version',
    HYPERCALL.xenVersion,
    XENVER_VERSION,
  )
  const major = version >>> 16
  const minor = version & 0xffff
  const extra = readText(hypercalls, XENVER_EXTRAVERSION, EXTRAVERSION_SIZE_BYTES)
  return { major, minor, text: `${major}.${minor}${extra}` }
}

/** For example `xen-3.0-x86_64 hvm-3.0-x86_32`: the kinds of guests it runs. */
export function readCapabilities(hypercalls: CallAccess): string {
  return readText(hypercalls, XENVER_CAPABILITIES, CAPABILITIES_SIZE_BYTES).trim()
}

/** The hypervisor's own command line. */
export function readCommandLine(hypercalls: CallAccess): string {
  return readText(hypercalls, XENVER_COMMANDLINE, COMMANDLINE_SIZE_BYTES).trim()
}

function readText(hypercalls: CallAccess, command: number, sizeBytes: number): string {
  using scope = hypercalls.arena.scope()
  const buffer = scope.allocate(sizeBytes)
  hypercalls.privcmd.hypercall('ask Xen about itself', HYPERCALL.xenVersion, command, buffer.address)
  const end = buffer.bytes.indexOf(0)
  return Buffer.from(buffer.bytes.subarray(0, end < 0 ? sizeBytes : end)).toString('latin1')
}
