// Types and codes of ICMP and ICMPv6, and the end of writing such a message. ICMP is always summed in full: a frontend that
// meets a partial checksum of anything but TCP and UDP drops the frame (skb_checksum_setup() of Linux).
// Sources: RFC 792, RFC 1191, RFC 1812 §5.2.7, RFC 4443, RFC 4861 §4.
import type { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { fold, internetSum, pseudoHeaderSumAt } from '../frame/checksum.ts'
import { PROTOCOL_ICMPV6 } from '../frame/layout.ts'

/** Type, code, checksum, and four bytes that depend on the type. */
export const ICMP_HEADER_BYTES = 8
export const ICMP_CHECKSUM = 2
export const ICMP_IDENTIFIER = 4
export const ICMP_SEQUENCE = 6

export const ICMP_ECHO_REPLY = 0
export const ICMP_UNREACHABLE = 3
export const ICMP_ECHO = 8
export const ICMP_TIME_EXCEEDED = 11
export const ICMP_PARAMETER_PROBLEM = 12
export const ICMP_TOO_BIG_CODE = 4

export const ICMPV6_UNREACHABLE = 1
export const ICMPV6_TOO_BIG = 2
export const ICMPV6_TIME_EXCEEDED = 3
export const ICMPV6_PARAMETER_PROBLEM = 4
/** From here on ICMPv6 types are not errors (RFC 4443 §2.1). */
export const ICMPV6_FIRST_INFORMATION = 128
export const ICMPV6_ECHO = 128
export const ICMPV6_ECHO_REPLY = 129
export const MLD_QUERY = 130
export const MLD_REPORT = 131
export const MLD_DONE = 132
export const ROUTER_SOLICITATION = 133
export const ROUTER_ADVERTISEMENT = 134
export const NEIGHBOUR_SOLICITATION = 135
export const NEIGHBOUR_ADVERTISEMENT = 136
export const REDIRECT = 137
export const MLD2_REPORT = 143

/** Whether a message of this type is one about another packet, about which nobody sends an error (RFC 1122 §3.2.2). */
export function isIcmpError(isIpv6: boolean, type: number): boolean {
  if (isIpv6) return type < ICMPV6_FIRST_INFORMATION
  // Unreachable, source quench, redirect, time exceeded, parameter problem.
  return (
    type === 3 || type === 4 || type === 5 || type === ICMP_TIME_EXCEEDED || type === ICMP_PARAMETER_PROBLEM
  )
}

/**
 * Fills in the checksum of a message whose first `headBytes` (an even number) stand in `target` at `transport`, behind its
 * IP header, and whose rest lies in `payload`.
 */
export function finishIcmp(
  target: PinnedBuffer,
  transport: number,
  isIpv6: boolean,
  headBytes: number,
  payload: PinnedBuffer = target,
  payloadOffset = 0,
  payloadBytes = 0,
): void {
  target.view.setUint16(transport + ICMP_CHECKSUM, 0)
  let sum = isIpv6 ? pseudoHeaderSumAt(target, PROTOCOL_ICMPV6, headBytes + payloadBytes) : 0
  sum = internetSum(target, transport, headBytes, sum)
  if (payloadBytes > 0) sum = internetSum(payload, payloadOffset, payloadBytes, sum)
  target.view.setUint16(transport + ICMP_CHECKSUM, ~fold(sum) & 0xffff)
}
