// HYPERVISOR_event_channel_op: preparing event channels of another domain.
// Source: xen/include/public/event_channel.h.
import { structLayout, u16, u32 } from '../sys/struct-layout.ts'
import { DOM0, type DomainId } from './domain-id.ts'
import { HYPERCALL } from './hypercall-numbers.ts'
import type { Hypercalls } from './hypercalls.ts'

const EVTCHNOP_ALLOC_UNBOUND = 6

const allocateUnbound = structLayout('struct evtchn_alloc_unbound', 8, {
  domain: u16(0),
  remoteDomain: u16(2),
  port: u32(4),
})

/** Opens a port in domain `domid` that `remoteDomid` may bind: its number in `domid`. */
export function allocateUnboundPort(
  hypercalls: Hypercalls,
  domid: DomainId,
  remoteDomid: DomainId = DOM0,
): number {
  using scope = hypercalls.arena.scope()
  const request = scope.allocate(allocateUnbound.sizeBytes)
  const fields = allocateUnbound.at(request.view)
  fields.domain = domid
  fields.remoteDomain = remoteDomid
  hypercalls.privcmd.hypercall(
    `open an event channel of domain ${domid}`,
    HYPERCALL.eventChannelOp,
    EVTCHNOP_ALLOC_UNBOUND,
    request.address,
  )
  return fields.port
}
