// The grants a domain begins with: its console and xenstore rings, through which dom0's daemons reach them.
// Source: xen/include/public/grant_table.h (version 1 entries; GNTTAB_RESERVED_*).

import { structLayout, u16, u32 } from '../../sys/struct-layout.ts'
import { DOM0, type DomainId } from '../domain-id.ts'
import type { Hypercalls } from '../hypercalls.ts'

const grantEntry = structLayout('struct grant_entry_v1', 8, { flags: u16(0), domain: u16(2), frame: u32(4) })
const GTF_PERMIT_ACCESS = 1
const RESERVED_CONSOLE = 0
const RESERVED_XENSTORE = 1

/** Grants dom0 the two rings, for writing. */
export function seedGrants(
  hypercalls: Hypercalls,
  domid: DomainId,
  rings: { readonly consoleFrame: number; readonly storeFrame: number },
): void {
  using table = hypercalls.privcmd.mapGrantTable(domid)
  const grant = (reference: number, frame: number) => {
    const entry = grantEntry.at(table.view, reference * grantEntry.sizeBytes)
    entry.domain = DOM0
    entry.frame = frame
    // Last: from here on the entry is valid.
    entry.flags = GTF_PERMIT_ACCESS
  }
  grant(RESERVED_CONSOLE, rings.consoleFrame)
  grant(RESERVED_XENSTORE, rings.storeFrame)
}
