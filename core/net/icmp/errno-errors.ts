// What a guest is told when the host's kernel refuses: one table from errno to the kind of ICMP error, and one from the kind
// to the types and codes of both families. RFC 1812 §5.2.7, RFC 4443 §3.
import {
  EACCES,
  EADDRNOTAVAIL,
  EAFNOSUPPORT,
  ECONNREFUSED,
  EHOSTDOWN,
  EHOSTUNREACH,
  EMFILE,
  EMSGSIZE,
  ENETDOWN,
  ENETUNREACH,
  ENFILE,
  ENOBUFS,
  ENOMEM,
  ENOPROTOOPT,
  EPERM,
  EPROTO,
  EPROTONOSUPPORT,
  ETIMEDOUT,
} from '../../sys/errno.ts'
import type { IcmpErrorKind } from './icmp-errors.ts'
import {
  ICMP_TIME_EXCEEDED,
  ICMP_TOO_BIG_CODE,
  ICMP_UNREACHABLE,
  ICMPV6_PARAMETER_PROBLEM,
  ICMPV6_TIME_EXCEEDED,
  ICMPV6_TOO_BIG,
  ICMPV6_UNREACHABLE,
} from './icmp-layout.ts'

const kindByErrno: ReadonlyMap<number, IcmpErrorKind> = new Map([
  [ECONNREFUSED, 'port-unreachable'],
  [EHOSTUNREACH, 'host-unreachable'],
  [EHOSTDOWN, 'host-unreachable'],
  [ETIMEDOUT, 'host-unreachable'],
  [ENETUNREACH, 'network-unreachable'],
  [ENETDOWN, 'network-unreachable'],
  // The host has no address of that family.
  [EADDRNOTAVAIL, 'network-unreachable'],
  [EAFNOSUPPORT, 'network-unreachable'],
  [EACCES, 'prohibited'],
  [EPERM, 'prohibited'],
  [EMFILE, 'prohibited'],
  [ENFILE, 'prohibited'],
  [ENOBUFS, 'prohibited'],
  [ENOMEM, 'prohibited'],
  [EMSGSIZE, 'too-big'],
  [ENOPROTOOPT, 'protocol-unreachable'],
  [EPROTO, 'protocol-unreachable'],
  [EPROTONOSUPPORT, 'protocol-unreachable'],
])

/** The kind of error for an errno (positive) of connect, send or an error queue; undefined where nothing is said. */
export function icmpErrorOfErrno(errno: number): IcmpErrorKind | undefined {
  return kindByErrno.get(errno)
}

export interface IcmpErrorCode {
  readonly type: number
  readonly code: number
}

/** Types and codes of a kind, of IPv4 and of IPv6. */
export const icmpErrorCodes: Readonly<
  Record<IcmpErrorKind, { readonly ipv4: IcmpErrorCode; readonly ipv6: IcmpErrorCode }>
> = {
  'network-unreachable': {
    ipv4: { type: ICMP_UNREACHABLE, code: 0 },
    ipv6: { type: ICMPV6_UNREACHABLE, code: 0 },
  },
  'host-unreachable': {
    ipv4: { type: ICMP_UNREACHABLE, code: 1 },
    ipv6: { type: ICMPV6_UNREACHABLE, code: 3 },
  },
  'protocol-unreachable': {
    ipv4: { type: ICMP_UNREACHABLE, code: 2 },
    ipv6: { type: ICMPV6_PARAMETER_PROBLEM, code: 1 },
  },
  'port-unreachable': {
    ipv4: { type: ICMP_UNREACHABLE, code: 3 },
    ipv6: { type: ICMPV6_UNREACHABLE, code: 4 },
  },
  prohibited: {
    ipv4: { type: ICMP_UNREACHABLE, code: 13 },
    ipv6: { type: ICMPV6_UNREACHABLE, code: 1 },
  },
  'too-big': {
    ipv4: { type: ICMP_UNREACHABLE, code: ICMP_TOO_BIG_CODE },
    ipv6: { type: ICMPV6_TOO_BIG, code: 0 },
  },
  'hop-limit': {
    ipv4: { type: ICMP_TIME_EXCEEDED, code: 0 },
    ipv6: { type: ICMPV6_TIME_EXCEEDED, code: 0 },
  },
  'reassembly-time': {
    ipv4: { type: ICMP_TIME_EXCEEDED, code: 1 },
    ipv6: { type: ICMPV6_TIME_EXCEEDED, code: 1 },
  },
}
