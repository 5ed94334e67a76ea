// Whether Xen has room for a guest, before anything is made.
import { GuestError } from './errors.ts'
import type { GuestRecord } from './guest-record.ts'

export interface XenMemory {
  readonly freeMemoryMiB: number
}

/** What a PV domain takes beside its memory: its tables, grants, vCPUs (xen.md 4.4 of the research). */
const overheadMiB = 2

export function checkFreeMemory(record: GuestRecord, { freeMemoryMiB }: XenMemory): void {
  const needed = record.spec.memoryMiB + overheadMiB
  if (needed <= freeMemoryMiB) return
  throw new GuestError(
    'guest.no-memory',
    `Cannot start guest "${record.name}": Xen has ${Math.floor(freeMemoryMiB)} MiB free, ${needed} MiB are needed`,
    {
      hint: "Give it less with -m, stop another guest, or give dom0 less memory (dom0_mem= on Xen's command line).",
    },
  )
}
