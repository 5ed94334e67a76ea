// HYPERVISOR_memory_op: giving memory to a domain. Source: xen/include/public/memory.h.
import { size, structLayout, u16, u32 } from '../sys/struct-layout.ts'
import type { DomainId } from './domain-id.ts'
import { HYPERCALL } from './hypercall-numbers.ts'
import type { Hypercalls } from './hypercalls.ts'

const XENMEM_POPULATE_PHYSMAP = 6
const XENMEM_SET_MEMORY_MAP = 13

const memoryReservation = structLayout('struct xen_memory_reservation', 32, {
  extents: size(0),
  extentCount: size(8),
  extentOrder: u32(16),
  memoryFlags: u32(20),
  domain: u16(24),
})
const foreignMemoryMap = structLayout('struct xen_foreign_memory_map', 24, {
  domain: u16(0),
  entryCount: u32(8),
  entries: size(16),
})
// struct e820entry, packed
const e820Entry = structLayout('struct e820entry', 20, { address: size(0), size: size(8), type: u32(16) })
const E820_RAM = 1

const EXTENTS_PER_CALL = 65536

/**
 * Gives the domain memory: `extents[i]` is the guest frame where an extent of 2^order pages begins. For a PV
 * domain Xen puts each extent's first machine frame into the same place. Returns how many extents were
 * populated, which is fewer than asked for when memory of that order ran out. Throws XenError.
 */
export function populatePhysmap(
  hypercalls: Hypercalls,
  domid: DomainId,
  order: number,
  extents: BigUint64Array<ArrayBuffer>,
): number {
  let done = 0
  while (done < extents.length) {
    using scope = hypercalls.arena.scope()
    const part = extents.subarray(done, done + EXTENTS_PER_CALL)
    const list = scope.place(new Uint8Array(part.buffer, part.byteOffset, part.byteLength))
    const request = scope.allocate(memoryReservation.sizeBytes)
    const fields = memoryReservation.at(request.view)
    fields.extents = list.address
    fields.extentCount = part.length
    fields.extentOrder = order
    fields.domain = domid
    const populated = hypercalls.privcmd.hypercall(
      () => `give domain ${domid} ${part.length} extents of ${4 << order} KiB`,
      HYPERCALL.memoryOp,
      XENMEM_POPULATE_PHYSMAP,
      request.address,
    )
    part.set(new BigUint64Array(list.bytes.buffer, list.bytes.byteOffset, populated))
    done += populated
    if (populated < part.length) break
  }
  return done
}

/** Sets the domain's pseudo-physical memory map to one range of RAM of `sizeBytes` from 0. */
export function setMemoryMap(hypercalls: Hypercalls, domid: DomainId, sizeBytes: number): void {
  using scope = hypercalls.arena.scope()
  const entry = scope.allocate(e820Entry.sizeBytes)
  const range = e820Entry.at(entry.view)
  range.size = sizeBytes
  range.type = E820_RAM
  const request = scope.allocate(foreignMemoryMap.sizeBytes)
  const fields = foreignMemoryMap.at(request.view)
  fields.domain = domid
  fields.entryCount = 1
  fields.entries = entry.address
  hypercalls.privcmd.hypercall(
    `set the memory map of domain ${domid}`,
    HYPERCALL.memoryOp,
    XENMEM_SET_MEMORY_MAP,
    request.address,
  )
}
