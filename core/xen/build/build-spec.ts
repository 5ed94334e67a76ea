// What a domain is built from and what comes out: plain data, because both cross from one thread to another.

import type { DomainId } from '../domain-id.ts'
import { BuildError } from './build-error.ts'
import { MAX_COMMAND_LINE_BYTES } from './start-info.ts'
import type { StepTiming } from './step-timer.ts'

/** A piece of the initrd: a file of this machine, or bytes. */
export type InitrdPart = { readonly path: string } | { readonly bytes: Uint8Array<ArrayBuffer> }

export interface DomainSpec {
  /** In lower case with dashes; the domain's identity for as long as it exists. */
  readonly uuid: string
  readonly memoryMiB: number
  /** What the domain may grow to; `memoryMiB` when absent. */
  readonly maxMemoryMiB?: number | undefined
  readonly vcpus: number
  /** vmlinux or bzImage. */
  readonly kernelPath: string
  /** Where decompressed kernels are kept. */
  readonly kernelCacheDir: string
  /** One after another; each is an archive of its own. */
  readonly initrd: readonly InitrdPart[]
  readonly commandLine: string
}

/** A domain that is complete and paused once. Frames are machine frames. */
export interface BuiltDomain {
  readonly domid: DomainId
  /** Event channel ports in the domain that dom0 may bind. */
  readonly storePort: number
  readonly consolePort: number
  readonly storeFrame: number
  readonly consoleFrame: number
  readonly sharedInfoFrame: number
  readonly timings: readonly StepTiming[]
}

/** The hypervisor's limit for PV domains (MAX_VIRT_CPUS). */
const MAX_PV_VCPUS = 8192
/** 16 TiB: more than any PV domain can have (XEN_DOMCTL max_mem has no limit of its own). */
const MAX_MEMORY_MIB = 1 << 24

const UUID_PATTERN = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** Throws `build.invalid-request` for what no domain can have. */
export function checkSpec(spec: DomainSpec): void {
  if (!UUID_PATTERN.test(spec.uuid)) throw invalid(`${JSON.stringify(spec.uuid)} is not a UUID in lower case`)
  if (!isCount(spec.vcpus, MAX_PV_VCPUS))
    throw invalid(`${spec.vcpus} vCPUs are not possible (1 to ${MAX_PV_VCPUS})`)
  if (!isCount(spec.memoryMiB, MAX_MEMORY_MIB))
    throw invalid(`${spec.memoryMiB} MiB of memory are not possible`)
  const maxMemoryMiB = spec.maxMemoryMiB ?? spec.memoryMiB
  if (!isCount(maxMemoryMiB, MAX_MEMORY_MIB) || maxMemoryMiB < spec.memoryMiB) {
    throw invalid(`its memory of ${spec.memoryMiB} MiB is more than its maximum of ${maxMemoryMiB} MiB`)
  }
  const commandLineBytes = Buffer.byteLength(spec.commandLine)
  if (commandLineBytes > MAX_COMMAND_LINE_BYTES) {
    throw invalid(
      `the kernel command line has ${commandLineBytes} bytes, the limit is ${MAX_COMMAND_LINE_BYTES}`,
    )
  }
  if (spec.commandLine.includes('\0')) throw invalid('the kernel command line contains a NUL')
}

function isCount(value: number, max: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= max
}

function invalid(reason: string): BuildError {
  return new BuildError('invalid-request', `Cannot build domain: ${reason}`)
}
