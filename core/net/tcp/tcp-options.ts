// TCP options: those of a SYN that we understand (MSS, window scale, SACK permitted), SACK blocks, and writing ours. All
// others are stepped over (RFC 9293 §3.1, RFC 7323 §2.2, RFC 2018 §2–3). A list that lies about its lengths ends there.
import type { SackScoreboard } from './sack-scoreboard.ts'
import { MAX_WINDOW_SHIFT } from './tcp-header.ts'

const END = 0
const NOTHING = 1
const MSS = 2
const WINDOW_SCALE = 3
const SACK_PERMITTED = 4
const SACK = 5

/** What a SYN said; used again for each. */
export class SynOptions {
  /** 0: not said. */
  mss = 0
  /** -1: not said. */
  windowShift = -1
  hasSack = false
}

/** Reads the options between `from` and `to`. */
export function readSynOptions(view: DataView, from: number, to: number, into: SynOptions): void {
  into.mss = 0
  into.windowShift = -1
  into.hasSack = false
  let at = from
  while (at < to) {
    const kind = view.getUint8(at)
    if (kind === END) return
    if (kind === NOTHING) {
      at++
      continue
    }
    if (at + 1 >= to) return
    const length = view.getUint8(at + 1)
    if (length < 2 || at + length > to) return
    if (kind === MSS && length === 4) into.mss = view.getUint16(at + 2)
    else if (kind === WINDOW_SCALE && length === 3)
      into.windowShift = Math.min(MAX_WINDOW_SHIFT, view.getUint8(at + 2))
    else if (kind === SACK_PERMITTED && length === 2) into.hasSack = true
    at += length
  }
}

/**
 * Adds the SACK blocks between `from` and `to` to the scoreboard: those that lie between what is acknowledged and what was
 * sent; anything else is a lie or old. True where one brings news.
 */
export function readSackBlocks(
  view: DataView,
  from: number,
  to: number,
  unacknowledged: number,
  sent: number,
  board: SackScoreboard,
): boolean {
  let isNews = false
  let at = from
  while (at < to) {
    const kind = view.getUint8(at)
    if (kind === END) return isNews
    if (kind === NOTHING) {
      at++
      continue
    }
    if (at + 1 >= to) return isNews
    const length = view.getUint8(at + 1)
    if (length < 2 || at + length > to) return isNews
    if (kind === SACK)
      for (let block = at + 2; block + 8 <= at + length; block += 8) {
        const start = view.getInt32(block)
        const end = view.getInt32(block + 4)
        const isInFlight =
          ((start - unacknowledged) | 0) >= 0 && ((end - start) | 0) > 0 && ((sent - end) | 0) >= 0
        if (isInFlight && board.add(start, end)) isNews = true
      }
    at += length
  }
  return isNews
}

/** Writes the options of our SYN at `at`: `windowShift` -1 for none. Returns their length, a multiple of four. */
export function writeSynOptions(
  view: DataView,
  at: number,
  mss: number,
  windowShift: number,
  hasSack: boolean,
): number {
  view.setUint32(at, (MSS << 24) | (4 << 16) | mss)
  let length = 4
  if (windowShift >= 0) {
    view.setUint32(at + length, (NOTHING << 24) | (WINDOW_SCALE << 16) | (3 << 8) | windowShift)
    length += 4
  }
  if (hasSack) {
    view.setUint32(at + length, (NOTHING << 24) | (NOTHING << 16) | (SACK_PERMITTED << 8) | 2)
    length += 4
  }
  return length
}

/** Writes `count` SACK blocks at `at`: the length of the option with its padding. */
export function writeSackBlocks(view: DataView, at: number, edges: Int32Array, count: number): number {
  view.setUint32(at, (NOTHING << 24) | (NOTHING << 16) | (SACK << 8) | (2 + count * 8))
  for (let index = 0; index < count * 2; index++) view.setInt32(at + 4 + index * 4, edges[index] ?? 0)
  return 4 + count * 8
}
