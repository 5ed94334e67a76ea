// The control page of a guest's channel (docs/contracts/channel.md, "Control page"): where its words are, and
// what must hold before anything in it is used.
import { structLayout, u32 } from '../../sys/struct-layout.ts'
import type { XenError } from '../errors.ts'
import { ringViolation } from './ring-violation.ts'

const MAGIC = 0x31434b42
const VERSION = 1
const MAX_PAGES_PER_DIRECTION = 256
const REFS_OFFSET = 1024

const layout = structLayout('control page', 4096, {
  magic: u32(0),
  version: u32(4),
  toHostPages: u32(8),
  toGuestPages: u32(12),
})

/** Byte offset of the flag that the kernel clears when dom0's side dies. */
export const HOST_LIVE_OFFSET = 20
/** Positions of 32-bit words. */
export const CONTROL_WORD = { guestLive: 4, hostLive: 5, toHost: 16, toGuest: 80 } as const

export interface ChannelPages {
  readonly toHostPages: number
  readonly toGuestPages: number
  /** Grants of the data pages: first the ones toward dom0. */
  readonly refs: readonly number[]
}

/** Reads a private copy of the page. Throws XenError `guest-protocol` for what we do not accept. */
export function readControlPage(copy: Uint8Array<ArrayBuffer>): ChannelPages {
  const view = new DataView(copy.buffer, copy.byteOffset, copy.byteLength)
  const { magic, version, toHostPages, toGuestPages } = layout.at(view)
  if (magic !== MAGIC) throw violation(`announced a page that begins with 0x${magic.toString(16)}`)
  if (version !== VERSION) throw violation(`speaks version ${version}, we speak ${VERSION}`)
  for (const pages of [toHostPages, toGuestPages]) {
    const isPowerOfTwo = pages > 0 && (pages & (pages - 1)) === 0
    if (!isPowerOfTwo || pages > MAX_PAGES_PER_DIRECTION) throw violation(`wants a ring of ${pages} pages`)
  }
  const refs: number[] = []
  for (let index = 0; index < toHostPages + toGuestPages; index++) {
    refs.push(view.getUint32(REFS_OFFSET + index * 4, true))
  }
  return { toHostPages, toGuestPages, refs }
}

function violation(what: string): XenError {
  return ringViolation('control channel', what)
}
