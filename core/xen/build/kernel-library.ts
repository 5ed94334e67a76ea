// The kernels a builder has met: unpacked, checked for PV, mapped, and planned once; the next guest with the
// same kernel finds all of it ready.

import { existsSync, statSync } from 'node:fs'
import type { ElfImage } from '../kernel/elf.ts'
import { type LoadedKernel, loadKernel } from '../kernel/load-kernel.ts'
import { requirePvNotes, type XenNotes } from '../kernel/xen-notes.ts'
import { BuildError } from './build-error.ts'
import { type KernelPlan, planKernelCopy } from './kernel-plan.ts'
import type { LayoutRequest } from './layout.ts'
import type { FileLease, MappedFiles } from './mapped-files.ts'

/** A kernel ready to be copied into a PV domain; disposing gives its mapping back. */
export interface PvKernel extends Disposable {
  readonly file: FileLease
  readonly plan: KernelPlan
  /** Virtual address of its first instruction. */
  readonly entry: bigint
  readonly layout: Pick<
    LayoutRequest,
    'virtualBase' | 'kernelStart' | 'kernelEnd' | 'initialP2m' | 'canLeaveInitrdUnmapped'
  >
  /** The guest page for the hypervisor's call stubs, in kernels that want one. */
  readonly hypercallPage: number | undefined
}

export interface KernelChoice {
  readonly kernelPath: string
  readonly kernelCacheDir: string
}

const MAX_REMEMBERED = 16

export class KernelLibrary {
  readonly #files: MappedFiles
  readonly #plans = new Map<string, KernelPlan>()
  /** By identity of the file that was asked for. */
  readonly #loaded = new Map<string, LoadedKernel>()
  /** Kernels are unpacked one at a time: several guests started at once mostly want the same one. */
  #unpacking: Promise<unknown> = Promise.resolve()

  constructor(files: MappedFiles) {
    this.#files = files
  }

  /** Throws `KernelError`, `BuildError`, or the signal's reason. */
  async open(kernel: KernelChoice, signal: AbortSignal): Promise<PvKernel> {
    const { path, elf, notes } = await this.#load(kernel, signal)
    const facts = readFacts(elf, notes)
    const file = this.#files.lease(path)
    try {
      const plan = this.#planFor(file, elf, Number(notes.physicalOffset))
      return { ...facts, file, plan, [Symbol.dispose]: () => file[Symbol.dispose]() }
    } catch (error) {
      file[Symbol.dispose]()
      throw error
    }
  }

  async #load(kernel: KernelChoice, signal: AbortSignal): Promise<LoadedKernel> {
    const identity = fileIdentity(kernel.kernelPath)
    const known = identity === undefined ? undefined : this.#loaded.get(identity)
    if (known !== undefined && existsSync(known.path)) return known
    const load = () => loadKernel(kernel.kernelPath, { cacheDir: kernel.kernelCacheDir, signal })
    const loading = this.#unpacking.then(load, load)
    this.#unpacking = loading.catch(() => undefined)
    const loaded = await loading
    if (identity !== undefined) remember(this.#loaded, identity, loaded)
    return loaded
  }

  #planFor(file: FileLease, elf: ElfImage, physicalOffset: number): KernelPlan {
    const known = this.#plans.get(file.identity)
    if (known !== undefined) return known
    // Checked again: the headers were read from a file that may have been replaced since.
    for (const segment of elf.segments) {
      if (segment.fileOffset + segment.fileSize > file.sizeBytes)
        throw unusable('its file changed while it was read')
    }
    const plan = planKernelCopy(elf, file.bytes, physicalOffset)
    remember(this.#plans, file.identity, plan)
    return plan
  }
}

/** Changes with the file's content: its change time cannot be set back. */
function fileIdentity(path: string): string | undefined {
  const info = statSync(path, { bigint: true, throwIfNoEntry: false })
  return info && `${info.dev}:${info.ino}:${info.size}:${info.ctimeNs}`
}

function remember<Value>(known: Map<string, Value>, key: string, value: Value): void {
  const oldest = known.keys().next().value
  if (known.size >= MAX_REMEMBERED && oldest !== undefined) known.delete(oldest)
  known.set(key, value)
}

/** The checks of libelf (elf_xen_addr_calc_check): everything named lies within the image. */
function readFacts(elf: ElfImage, notes: XenNotes): Pick<PvKernel, 'entry' | 'layout' | 'hypercallPage'> {
  const { entry, virtualBase } = requirePvNotes(notes)
  if (notes.physicalOffset > BigInt(elf.physicalStart)) {
    throw unusable(
      `it begins at physical address ${elf.physicalStart}, before its own offset ${notes.physicalOffset}`,
    )
  }
  const physicalOffset = Number(notes.physicalOffset)
  const kernelStart = elf.physicalStart - physicalOffset
  const kernelEnd = elf.physicalEnd - physicalOffset
  const isInside = (address: bigint) =>
    address >= virtualBase + BigInt(kernelStart) && address < virtualBase + BigInt(kernelEnd)
  if (!isInside(entry)) throw unusable(`its entry point 0x${entry.toString(16)} lies outside of it`)
  const { hypercallPage } = notes
  if (hypercallPage !== undefined && !isInside(hypercallPage)) {
    throw unusable(`its hypercall page 0x${hypercallPage.toString(16)} lies outside of it`)
  }
  return {
    entry,
    layout: {
      virtualBase,
      kernelStart,
      kernelEnd,
      initialP2m: notes.initialP2m,
      canLeaveInitrdUnmapped: notes.moduleStartIsFrame,
    },
    hypercallPage: hypercallPage === undefined ? undefined : Number((hypercallPage - virtualBase) >> 12n),
  }
}

function unusable(reason: string): BuildError {
  return new BuildError('unusable-kernel', `Cannot build domain: the kernel cannot be used, ${reason}`)
}
