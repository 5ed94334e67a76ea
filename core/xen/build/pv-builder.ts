// Builds an x86-64 PV domain, from nothing to complete and paused, in the order of libxenguest. Runs in a
// worker thread: each step blocks, between steps an abort is noticed. Facts: xen/tools/libs/guest,
// xen/include/public.

import { setImmediate as nextTurn } from 'node:timers/promises'
import type { DomainId } from '../domain-id.ts'
import {
  createDomain,
  destroyDomain,
  getDomainInfo,
  initializeHypercallPage,
  setMaxMemory,
  setMaxVcpus,
  setVcpuContext,
} from '../domctl.ts'
import { XenError } from '../errors.ts'
import { allocateUnboundPort } from '../event-channel-op.ts'
import type { Hypercalls } from '../hypercalls.ts'
import { setMemoryMap } from '../memory-op.ts'
import { pinL4Table } from '../mmuext-op.ts'
import {
  FLAT_KERNEL_CODE_SELECTOR,
  FLAT_KERNEL_DATA_SELECTOR,
  VCPU_FLAG,
  vcpuGuestContext,
} from '../vcpu-context.ts'
import { type BuiltDomain, checkSpec, type DomainSpec } from './build-spec.ts'
import { type Target, writeContents, writeTables } from './domain-contents.ts'
import { seedGrants } from './grant-seeds.ts'
import { InitrdSource } from './initrd-source.ts'
import type { KernelLibrary, PvKernel } from './kernel-library.ts'
import { layOutPvDomain, PAGE_BYTES, type PvLayout } from './layout.ts'
import type { MappedFiles } from './mapped-files.ts'
import { checkFreeMemory, populateMemory } from './populate-memory.ts'
import { writeSharedInfo, writeStartInfo } from './start-info.ts'
import { StepTimer } from './step-timer.ts'

const PAGES_PER_MIB = 256
const KIB_PER_MIB = 1024
/** What libxl adds to a domain's limit (LIBXL_MAXMEM_CONSTANT). */
const MAX_MEMORY_SLACK_KIB = 1024

/** The interrupt flag. */
const INITIAL_RFLAGS = 0x200n
const DEBUG_REGISTER_6_RESET = 0xffff0ff0n
const DEBUG_REGISTER_7_RESET = 0x400n

/** What a builder keeps from one build to the next. */
export interface BuilderTools {
  readonly hypercalls: Hypercalls
  readonly files: MappedFiles
  readonly kernels: KernelLibrary
}

/** A complete domain. `finish()` unmaps its memory from dom0, which nobody has to wait for. */
export interface PvBuild {
  readonly domain: BuiltDomain
  finish(): void
}

/**
 * Builds a domain. On failure or abort it is destroyed again. Throws `BuildError`, `KernelError`, `XenError`,
 * or the signal's reason.
 */
export async function buildPvDomain(
  tools: BuilderTools,
  spec: DomainSpec,
  signal: AbortSignal,
): Promise<PvBuild> {
  const { hypercalls } = tools
  const timer = new StepTimer()
  checkSpec(spec)
  using kernel = await tools.kernels.open(spec, signal)
  using initrd = new InitrdSource(spec.initrd, tools.files)
  const totalPages = spec.memoryMiB * PAGES_PER_MIB
  const layout = layOutPvDomain({ ...kernel.layout, initrdBytes: initrd.sizeBytes, totalPages })
  checkFreeMemory(hypercalls, totalPages)
  signal.throwIfAborted()
  timer.done('kernel')

  const domid = createDomain(hypercalls, { uuid: spec.uuid, maxVcpus: spec.vcpus })
  try {
    limitDomain(hypercalls, domid, spec)
    const ports = {
      storePort: allocateUnboundPort(hypercalls, domid),
      consolePort: allocateUnboundPort(hypercalls, domid),
    }
    timer.done('create')
    const frames = await populateMemory(hypercalls, { domid, pages: totalPages }, signal)
    timer.done('memory')

    const sharedInfoFrame = readSharedInfoFrame(hypercalls, domid)
    const startInfo = writeStartInfo({
      layout,
      frames,
      ...ports,
      virtualBase: kernel.layout.virtualBase,
      totalPages,
      sharedInfoFrame,
      initrdBytes: initrd.sizeBytes,
      commandLine: spec.commandLine,
    })
    const sharedInfo = { frame: sharedInfoFrame, page: writeSharedInfo() }
    const target: Target = { hypercalls, domid, layout, frames }
    const mapping = writeContents(target, { kernel, initrd, startInfo, sharedInfo }, timer)
    try {
      await nextTurn()
      signal.throwIfAborted()
      if (kernel.hypercallPage !== undefined) {
        initializeHypercallPage(hypercalls, domid, frames.frameOf(kernel.hypercallPage))
      }
      writeTables(target)
      timer.done('page tables')
      pinL4Table(hypercalls, domid, frames.frameOf(layout.pageTables.firstPage))
      timer.done('pin')
      setVcpuContext(
        hypercalls,
        domid,
        0,
        firstVcpu(kernel, layout, frames.frameOf(layout.pageTables.firstPage)),
      )
      timer.done('first vCPU')
      const consoleFrame = frames.frameOf(layout.consolePage)
      const storeFrame = frames.frameOf(layout.xenstorePage)
      seedGrants(hypercalls, domid, { consoleFrame, storeFrame })
      timer.done('grants')
      const domain = { domid, ...ports, storeFrame, consoleFrame, sharedInfoFrame, timings: timer.timings }
      return { domain, finish: () => mapping[Symbol.dispose]() }
    } catch (error) {
      mapping[Symbol.dispose]()
      throw error
    }
  } catch (error) {
    await destroyDomain(hypercalls, domid)
    throw error
  }
}

function limitDomain(hypercalls: Hypercalls, domid: DomainId, spec: DomainSpec): void {
  const maxMemoryMiB = spec.maxMemoryMiB ?? spec.memoryMiB
  setMaxVcpus(hypercalls, domid, spec.vcpus)
  setMaxMemory(hypercalls, domid, maxMemoryMiB * KIB_PER_MIB + MAX_MEMORY_SLACK_KIB)
  setMemoryMap(hypercalls, domid, maxMemoryMiB * KIB_PER_MIB * 1024)
}

function readSharedInfoFrame(hypercalls: Hypercalls, domid: DomainId): number {
  const info = getDomainInfo(hypercalls, domid)
  if (info === undefined) throw new XenError('no-such-domain', `Cannot build domain ${domid}: it is gone`)
  return Number(info.sharedInfoFrame)
}

/**
 * The registers of vCPU 0 at the kernel's entry; the kernel brings the others up itself (VCPUOP_initialise).
 */
function firstVcpu(kernel: PvKernel, layout: PvLayout, l4Frame: number): Uint8Array<ArrayBuffer> {
  const { struct: context, bytes } = vcpuGuestContext.create()
  const addressOf = (page: number) => kernel.layout.virtualBase + BigInt(page * PAGE_BYTES)
  const stackEnd = addressOf(layout.bootStackPage + 1)
  context.flags = VCPU_FLAG.inKernel | VCPU_FLAG.online
  context.rip = kernel.entry
  context.rsp = stackEnd
  context.rsi = addressOf(layout.startInfoPage)
  context.rflags = INITIAL_RFLAGS
  context.cs = FLAT_KERNEL_CODE_SELECTOR
  context.ss = FLAT_KERNEL_DATA_SELECTOR
  context.kernelSs = BigInt(FLAT_KERNEL_DATA_SELECTOR)
  context.kernelSp = stackEnd
  context.cr3 = BigInt(l4Frame) * BigInt(PAGE_BYTES)
  context.debugRegister6 = DEBUG_REGISTER_6_RESET
  context.debugRegister7 = DEBUG_REGISTER_7_RESET
  return bytes
}
