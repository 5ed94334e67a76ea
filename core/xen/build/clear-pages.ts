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
  const pages = listPages(ranges)
  for (let done = 0; done < pages.length; done += OPERATIONS_PER_CALL) {
    const part = pages.subarray(done, done + OPERATIONS_PER_CALL)
    using scope = hypercalls.arena.scope()
    const operations = scope.allocate(part.length * OPERATION_BYTES)
    fillOperations(
      new Uint32Array(operations.bytes.buffer, operations.bytes.byteOffset, part.length * OPERATION_WORDS),
      part,
      frames.words,
    )
    hypercalls.privcmd.hypercall(
      `clear ${part.length} pages of domain ${domid}`,
      HYPERCALL.mmuextOp,
      operations.address,
      part.length,
      0,
      domid,
    )
  }
}

function fillOperations(target: Uint32Array, pages: Uint32Array, frameWords: Uint32Array): void {
  for (let index = 0; index < pages.length; index++) {
    const word = (pages[index] ?? 0) * 2
    const operation = index * OPERATION_WORDS
    target[operation] = MMUEXT_CLEAR_PAGE
    target[operation + FRAME_WORD] = frameWords[word] ?? 0
    target[operation + FRAME_WORD + 1] = frameWords[word + 1] ?? 0
  }
}

function listPages(ranges: readonly PageRange[]): Uint32Array {
  const list = new Uint32Array(ranges.reduce((sum, range) => sum + range.pages, 0))
  let length = 0
  for (const { firstPage, pages } of ranges) {
    for (let page = firstPage; page < firstPage + pages; page++) list[length++] = page
  }
  return list
}
