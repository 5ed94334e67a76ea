// /dev/xen/privcmd: how dom0's programs call the hypervisor and map guests' memory.
// Source: Linux, include/uapi/xen/privcmd.h.
import type { FileDescriptor } from '../sys/file-descriptor.ts'
import { type Action, addressOf, ioctl, ioctlInBackground } from '../sys/libc.ts'
import { type MemoryMapping, mapMemory } from '../sys/memory-mapping.ts'
import { allocateNativeMemory } from '../sys/native-memory.ts'
import { i32, size, structLayout, u16, u32 } from '../sys/struct-layout.ts'
import { errnoName } from '../sys/system-error.ts'
import type { DomainId } from './domain-id.ts'
import { asXenError, XenError } from './errors.ts'

export const PAGE_SIZE = 4096

const IOCTL_PRIVCMD_HYPERCALL = 0x00305000
const IOCTL_PRIVCMD_MMAPBATCH_V2 = 0x00205004
const IOCTL_PRIVCMD_MMAP_RESOURCE = 0x00205007

const privcmdHypercall = structLayout('struct privcmd_hypercall', 48, {
  operation: size(0),
  argument0: size(8),
  argument1: size(16),
  argument2: size(24),
  argument3: size(32),
  argument4: size(40),
})
const privcmdMmapBatch = structLayout('struct privcmd_mmapbatch_v2', 32, {
  count: u32(0),
  domain: u16(4),
  address: size(8),
  frames: size(16),
  errors: size(24),
})
const privcmdMmapResource = structLayout('struct privcmd_mmap_resource', 32, {
  domain: u16(0),
  type: u32(4),
  id: u32(8),
  index: u32(12),
  count: size(16),
  address: size(24),
})
const mapError = structLayout('int', 4, { value: i32(0) })

// xen/include/public/memory.h
const XENMEM_RESOURCE_GRANT_TABLE = 1
const XENMEM_RESOURCE_GRANT_TABLE_ID_SHARED = 0

/** The operation and up to five arguments: integers, or addresses of memory from a HypercallArena. */
export type HypercallArguments = readonly number[]

export class Privcmd implements Disposable {
  readonly #device: FileDescriptor
  readonly #request = allocateNativeMemory(privcmdHypercall.sizeBytes)
  readonly #fields = privcmdHypercall.at(this.#request.view)

  constructor(device: FileDescriptor) {
    this.#device = device
  }

  /** Makes a hypercall: its value (≥ 0). Throws XenError (`hypercall-failed`) with the errno's name. */
  hypercall(action: Action, operation: number, ...parameters: HypercallArguments): number {
    fillRequest(this.#fields, operation, parameters)
    try {
      return ioctl(this.#device.fd, IOCTL_PRIVCMD_HYPERCALL, this.#request.address, action)
    } catch (error) {
      throw asXenError(error, 'hypercall-failed')
    }
  }

  /** The same off the event loop, for calls that take long. What the arguments point to must stay. */
  async hypercallInBackground(
    action: Action,
    operation: number,
    ...parameters: HypercallArguments
  ): Promise<number> {
    const request = allocateNativeMemory(privcmdHypercall.sizeBytes)
    fillRequest(privcmdHypercall.at(request.view), operation, parameters)
    try {
      return await ioctlInBackground(this.#device.fd, IOCTL_PRIVCMD_HYPERCALL, request.address, action)
    } catch (error) {
      throw asXenError(error, 'hypercall-failed')
    }
  }

  /**
   * Maps a domain's pages, one after another, readable and writable. `frames` are machine frame numbers of a
   * PV domain, guest frame numbers of others. Careful: the mapping keeps the domain's memory, even after its
   * end, until it is disposed; in a PV dom0 unmapping costs more than mapping.
   */
  mapForeign(domid: DomainId, frames: BigUint64Array<ArrayBuffer>): MemoryMapping {
    const action = () => `map ${frames.length} pages of domain ${domid}`
    const mapping = this.#reserve(frames.length, action)
    try {
      const errors = allocateNativeMemory(frames.length * mapError.sizeBytes)
      const { memory, fields } = nativeStruct(privcmdMmapBatch)
      fields.count = frames.length
      fields.domain = domid
      fields.address = mapping.address
      fields.frames = addressOf(frames.buffer) + frames.byteOffset
      fields.errors = errors.address
      this.#map(IOCTL_PRIVCMD_MMAPBATCH_V2, memory.address, action)
      const failed = new Int32Array(errors.bytes.buffer).findIndex((errno) => errno !== 0)
      if (failed >= 0) {
        const errorName = errnoName(-mapError.at(errors.view, failed * mapError.sizeBytes).value)
        const frame = `0x${frames[failed]?.toString(16)}`
        throw new XenError('attach-failed', `Cannot ${action()}: Xen refused frame ${frame} (${errorName})`, {
          errorName,
        })
      }
      return mapping
    } catch (error) {
      mapping[Symbol.dispose]()
      throw error
    }
  }

  /** Maps the first `pages` pages of a domain's grant table (version 1 entries; XENMEM_acquire_resource). */
  mapGrantTable(domid: DomainId, pages = 1): MemoryMapping {
    const action = `map the grant table of domain ${domid}`
    const mapping = this.#reserve(pages, action)
    try {
      const { memory, fields } = nativeStruct(privcmdMmapResource)
      fields.domain = domid
      fields.type = XENMEM_RESOURCE_GRANT_TABLE
      fields.id = XENMEM_RESOURCE_GRANT_TABLE_ID_SHARED
      fields.index = 0
      fields.count = pages
      fields.address = mapping.address
      this.#map(IOCTL_PRIVCMD_MMAP_RESOURCE, memory.address, action)
      return mapping
    } catch (error) {
      mapping[Symbol.dispose]()
      throw error
    }
  }

  [Symbol.dispose](): void {
    this.#device[Symbol.dispose]()
  }

  #reserve(pages: number, action: Action): MemoryMapping {
    return mapMemory({ fd: this.#device.fd, sizeBytes: pages * PAGE_SIZE }, action)
  }

  #map(request: number, argument: number, action: Action): void {
    try {
      ioctl(this.#device.fd, request, argument, action)
    } catch (error) {
      throw asXenError(error, 'attach-failed')
    }
  }
}

type RequestFields = ReturnType<typeof privcmdHypercall.at>

function fillRequest(fields: RequestFields, operation: number, parameters: HypercallArguments): void {
  fields.operation = operation
  fields.argument0 = parameters[0] ?? 0
  fields.argument1 = parameters[1] ?? 0
  fields.argument2 = parameters[2] ?? 0
  fields.argument3 = parameters[3] ?? 0
  fields.argument4 = parameters[4] ?? 0
}

function nativeStruct<T>(layout: { sizeBytes: number; at(view: DataView<ArrayBuffer>): T }) {
  const memory = allocateNativeMemory(layout.sizeBytes)
  return { memory, fields: layout.at(memory.view) }
}
