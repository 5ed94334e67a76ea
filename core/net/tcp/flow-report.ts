// A flow as `bulkhead net flows` shows it.
import type { FlowReport } from '../packet/protocol-handler.ts'
import {
  CLOSED,
  CONNECTING,
  ESTABLISHED,
  SYN_RECEIVED,
  SYN_SENT,
  type TcpFlow,
  TIME_WAIT,
} from './tcp-flow.ts'

export function flowReport(flow: TcpFlow): FlowReport {
  return {
    port: flow.port,
    protocol: 'tcp',
    direction: flow.isInbound ? 'in' : 'out',
    remote0: flow.remote0,
    remote1: flow.remote1,
    remote2: flow.remote2,
    remote3: flow.remote3,
    guestPort: flow.guestPort,
    remotePort: flow.remotePort,
    state: stateName(flow),
    inBytes: flow.inBytes,
    outBytes: flow.outBytes,
    startedAtMs: flow.startedAtMs,
    activeAtMs: flow.activeAtMs,
  }
}

/** The name of its state as RFC 9293 §3.3.2 has it, `connecting` before there is one. */
function stateName(flow: TcpFlow): string {
  switch (flow.state) {
    case CONNECTING:
      return 'connecting'
    case SYN_RECEIVED:
      return 'syn-received'
    case SYN_SENT:
      return 'syn-sent'
    case ESTABLISHED:
      return establishedName(flow)
    case TIME_WAIT:
      return 'time-wait'
    case CLOSED:
      return 'closed'
  }
}

/** From the side that is ours. */
function establishedName(flow: TcpFlow): string {
  if (!flow.isFinSent) return flow.isFinReceived ? 'close-wait' : 'established'
  if (!flow.isFinReceived) return flow.isFinAcknowledged ? 'fin-wait-2' : 'fin-wait-1'
  return flow.isPassiveClose ? 'last-ack' : 'closing'
}
