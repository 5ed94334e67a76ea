// Gives a PV domain its memory and learns which machine frames it got: in pieces of 2 MiB while Xen has such,
// then in single pages. Large pieces are many times faster and make the guest's own memory faster too.

import { setImmediate as nextTurn } from 'node:timers/promises'
import type { DomainId } from '../domain-id.ts'
import { isXenError } from '../errors.ts'
import type { Hypercalls } from '../hypercalls.ts'
import { populatePhysmap } from '../memory-op.ts'
import { readPhysicalInfo } from '../sysctl.ts'
import { BuildError } from './build-error.ts'
import { FrameList } from './frame-list.ts'

const LARGE_ORDER = 9
const LARGE_PAGES = 1 << LARGE_ORDER
/** 1 GiB a call of either kind at most, so that an abort is noticed soon. */
const LARGE_EXTENTS_PER_CALL = 512
const PAGES_PER_CALL = 65536

/** Populates pages 0 … `pages`. Throws `build.no-memory`, or the signal's reason. */
export async function populateMemory(
  hypercalls: Hypercalls,
  domain: { readonly domid: DomainId; readonly pages: number },
  signal: AbortSignal,
): Promise<FrameList> {
  const { domid, pages } = domain
  const frames = new FrameList(pages)
  let done = 0
  const next = async () => {
    await nextTurn()
    signal.throwIfAborted()
  }

  while (pages - done >= LARGE_PAGES) {
    const count = Math.min(LARGE_EXTENTS_PER_CALL, Math.floor((pages - done) / LARGE_PAGES))
    const extents = firstPagesOf(done, count, LARGE_PAGES)
    const populated = populate(hypercalls, domid, LARGE_ORDER, extents)
    for (let index = 0; index < populated; index++) {
      frames.setExtent(done + index * LARGE_PAGES, extents[index] ?? 0n, LARGE_PAGES)
    }
    done += populated * LARGE_PAGES
    if (populated < count) break
    if (done < pages) await next()
  }
  while (done < pages) {
    const extents = firstPagesOf(done, Math.min(PAGES_PER_CALL, pages - done), 1)
    const populated = populate(hypercalls, domid, 0, extents)
    frames.setFrames(done, extents.subarray(0, populated))
    done += populated
    if (populated < extents.length) throw noMemory(hypercalls, pages - done)
    if (done < pages) await next()
  }
  return frames
}

/** Fails early, and with a sentence that says what is missing, when there is clearly not enough. */
export function checkFreeMemory(hypercalls: Hypercalls, pages: number): void {
  if (readPhysicalInfo(hypercalls).freePages < pages) throw noMemory(hypercalls, pages)
}

function populate(
  hypercalls: Hypercalls,
  domid: DomainId,
  order: number,
  extents: BigUint64Array<ArrayBuffer>,
): number {
  try {
    return populatePhysmap(hypercalls, domid, order, extents)
  } catch (error) {
    if (isXenError(error, 'ENOMEM')) return 0
    throw error
  }
}

function firstPagesOf(firstPage: number, count: number, stride: number): BigUint64Array<ArrayBuffer> {
  const extents = new BigUint64Array(count)
  // Through the low words: page numbers have far fewer than 32 bits.
  const words = new Uint32Array(extents.buffer)
  for (let index = 0; index < count; index++) words[index * 2] = firstPage + index * stride
  return extents
}

function noMemory(hypercalls: Hypercalls, missingPages: number): BuildError {
  const freeMiB = Math.floor(readPhysicalInfo(hypercalls).freePages / 256)
  const neededMiB = Math.ceil(missingPages / 256)
  return new BuildError(
    'no-memory',
    `Cannot build domain: Xen has ${freeMiB} MiB free, ${neededMiB} MiB needed`,
    {
      hint: 'Stop a guest, give this one less memory, or give dom0 less (dom0_mem= on the command line of Xen).',
      data: { freeMiB, neededMiB },
    },
  )
}
