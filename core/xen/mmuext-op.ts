// HYPERVISOR_mmuext_op: validating a PV domain's page tables. Source: xen/include/public/xen.h.
import { size, structLayout, u32 } from '../sys/struct-layout.ts'
import type { DomainId } from './domain-id.ts'
import { HYPERCALL } from './hypercall-numbers.ts'
import type { Hypercalls } from './hypercalls.ts'

const MMUEXT_PIN_L4_TABLE = 3

const mmuextOperation = structLayout('struct mmuext_op', 24, { command: u32(0), frame: size(8) })

/**
 * Has Xen validate the page tables below the L4 table at `frame` (a machine frame) and keep them pinned.
 * Careful: any writable mapping of a table's page, the caller's own included, makes this fail.
 */
export function pinL4Table(hypercalls: Hypercalls, domid: DomainId, frame: number): void {
  using scope = hypercalls.arena.scope()
  const operation = scope.allocate(mmuextOperation.sizeBytes)
  const fields = mmuextOperation.at(operation.view)
  fields.command = MMUEXT_PIN_L4_TABLE
  fields.frame = frame
  hypercalls.privcmd.hypercall(
    `pin the page tables of domain ${domid}`,
    HYPERCALL.mmuextOp,
    operation.address,
    1,
    0,
    domid,
  )
}
