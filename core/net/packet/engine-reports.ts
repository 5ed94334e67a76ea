// What the packet path tells about itself: counters of each guest, and flows as people read them.
import { formatEnd, MAPPED_PREFIX } from '../address.ts'
import type { EngineFlow, EngineStats } from '../engine/messages.ts'
import { dropReasons } from '../frame/drop-reason.ts'
import type { GuestPort } from '../guest-port.ts'
import type { FlowReport, FlowSource } from './protocol-handler.ts'

export interface FlowSources {
  readonly tcp: FlowSource
  readonly udp: FlowSource
  readonly ping: FlowSource
}

/** The counters of one guest. Reasons that dropped nothing are left out. */
export function guestStats(port: GuestPort, { tcp, udp, ping }: FlowSources): EngineStats['guests'][number] {
  const drops: Record<string, number> = {}
  for (const [index, reason] of dropReasons.entries()) {
    const count = port.drops[index] ?? 0
    if (count > 0) drops[reason] = count
  }
  return {
    guest: port.id,
    inBytes: port.inBytes,
    outBytes: port.outBytes,
    inFrames: port.inFrames,
    outFrames: port.outFrames,
    tcpFlows: tcp.flowCountOf(port),
    udpFlows: udp.flowCountOf(port),
    pingFlows: ping.flowCountOf(port),
    flowsOpened: port.flowsOpened,
    retransmissions: port.retransmissions,
    drops,
  }
}

/** One flow. ICMP has no port at its far end: there it is 0, and an identifier at the guest's. */
export function engineFlow(flow: FlowReport, nowMs: number): EngineFlow {
  const { port, remote0, remote1, remote2, remote3 } = flow
  const isIpv4 = remote0 === 0 && remote1 === 0 && remote2 === MAPPED_PREFIX
  return {
    guest: port.id,
    protocol: flow.protocol,
    direction: flow.direction,
    guestEnd: formatEnd(isIpv4 ? [0, 0, MAPPED_PREFIX, port.ipv4] : port.ipv6, flow.guestPort),
    remoteEnd: formatEnd([remote0, remote1, remote2, remote3], flow.remotePort),
    state: flow.state,
    inBytes: flow.inBytes,
    outBytes: flow.outBytes,
    ageMs: Math.max(0, nowMs - flow.startedAtMs),
    idleMs: Math.max(0, nowMs - flow.activeAtMs),
  }
}
