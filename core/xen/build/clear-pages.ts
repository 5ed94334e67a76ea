// Has Xen clear pages of a PV domain (MMUEXT_CLEAR_PAGE), many to a call. Source: xen/include/public/xen.h.

import type { DomainId } from '../domain-id.ts'
import { HYPERCALL } from '../hypercall-numbers.ts'
import type { Hypercalls } from '../hypercalls.ts'
import type { FrameList } from './frame-list.ts'
import type { PageRange } from './layout.ts'

const MMUEXT_CLEAR_PAGE = 16
/** struct mmuext_op: u32 cmd at 0, u64 mfn at 8; 24 bytes. */
const OPERATION_BYTES = 24
const OPERATION_WORDS = OPERATION_BYTES / 4
const FRAME_WORD = 2
const OPERATIONS_PER_CALL = 8192

/** Clears the pages. They must not be page tables yet. Throws XenError. */
export function clearPages(
  hypercalls: Hypercalls,
  domain: { readonly domid: DomainId; readonly frames: FrameList },
  ranges: readonly PageRange[],
): void {
  const { domid, frames } = domain
  const words = frames.words
  const pages = ranges.flatMap(({ firstPage, pages: count }) =>
    Array.from({ length: count }, (_, n) => firstPage + n),
  )
  for (let done = 0; done < pages.length; done += OPERATIONS_PER_CALL) {
    const count = Math.min(OPERATIONS_PER_CALL, pages.length - done)
    using scope = hypercalls.arena.scope()
    const operations = scope.allocate(count * OPERATION_BYTES)
    const target = new Uint32Array(
      operations.bytes.buffer,
      operations.bytes.byteOffset,
      count * OPERATION_WORDS,
    )
    for (let index = 0; index < count; index++) {
      const word = (pages[done + index] ?? 0) * 2
      const operation = index * OPERATION_WORDS
      target[operation] = MMUEXT_CLEAR_PAGE
      target[operation + FRAME_WORD] = words[word] ?? 0
      target[operation + FRAME_WORD + 1] = words[word + 1] ?? 0
    }
    hypercalls.privcmd.hypercall(
      `clear ${count} pages of domain ${domid}`,
      HYPERCALL.mmuextOp,
      operations.address,
      count,
      0,
      domid,
    )
  }
}
