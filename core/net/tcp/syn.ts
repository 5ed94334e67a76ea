// The options of a guest's SYN, and our SYN-ACK. RFC 9293 §3.7.1, RFC 7323 §2.2–2.3, RFC 2018 §2.
import type { Frame } from '../frame/frame.ts'
import { TCP_HEADER_BYTES } from '../frame/layout.ts'
import { setTimer, timeoutMs, timeSegment } from './retransmit-timer.ts'
import { SYN_RECEIVED, type TcpFlow, TIMER_RETRANSMIT } from './tcp-flow.ts'
import {
  ACK,
  DEFAULT_MSS_IPV4,
  DEFAULT_MSS_IPV6,
  IPV4_TCP_BYTES,
  IPV6_TCP_BYTES,
  OFFSET_AND_FLAGS,
  SYN,
  WINDOW,
} from './tcp-header.ts'
import { readSynOptions } from './tcp-options.ts'
import { sendControl } from './tcp-output.ts'
import type { TcpResources } from './tcp-resources.ts'

/** Takes what the guest's SYN in `frame` offers: options that it does not offer are not used. */
export function takeSynOptions(tcp: TcpResources, flow: TcpFlow, frame: Frame): void {
  const { view } = frame.buffer
  const at = frame.transport
  const options = tcp.synOptions
  const headerBytes = (view.getUint8(at + OFFSET_AND_FLAGS) >>> 4) * 4
  readSynOptions(view, at + TCP_HEADER_BYTES, at + headerBytes, options)
  const ours = largestMss(flow)
  const theirs = options.mss === 0 ? defaultMss(flow) : options.mss
  // A tiny MSS would make us send a header for every few bytes: what nobody needs, nobody gets.
  flow.mss = Math.min(ours, Math.max(DEFAULT_MSS_IPV4, theirs))
  const isScaled = options.windowShift >= 0
  flow.sendWindowShift = isScaled ? options.windowShift : 0
  flow.receiveWindowShift = isScaled ? tcp.windowShift : -1
  flow.hasSack = options.hasSack
  // Never scaled here (RFC 7323 §2.2).
  flow.sendWindow = view.getUint16(at + WINDOW)
  flow.largestSendWindow = flow.sendWindow
}

/** The host is connected: answers the guest's SYN. */
export function sendSynAck(tcp: TcpResources, flow: TcpFlow): void {
  flow.state = SYN_RECEIVED
  beginSending(tcp, flow)
  sendControl(tcp, flow, SYN | ACK, flow.initialSend)
}

/** Asks the guest for a connection: `SYN` alone. */
export function sendSyn(tcp: TcpResources, flow: TcpFlow): void {
  beginSending(tcp, flow)
  sendControl(tcp, flow, SYN, flow.initialSend)
}

function largestMss(flow: TcpFlow): number {
  return flow.port.mtu - (flow.isIpv6 ? IPV6_TCP_BYTES : IPV4_TCP_BYTES)
}

function defaultMss(flow: TcpFlow): number {
  return flow.isIpv6 ? DEFAULT_MSS_IPV6 : DEFAULT_MSS_IPV4
}

function beginSending(tcp: TcpResources, flow: TcpFlow): void {
  const initial = tcp.initialSequence.of(flow, tcp.context.nowMs)
  flow.initialSend = initial
  flow.sendUnacknowledged = initial
  flow.sendNext = (initial + 1) | 0
  flow.sendMax = flow.sendNext
  flow.store.begin(flow.sendNext)
  timeSegment(tcp, flow, flow.sendNext)
  setTimer(tcp, flow, TIMER_RETRANSMIT, tcp.context.nowMs + timeoutMs(flow))
}
