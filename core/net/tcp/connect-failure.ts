// What a guest is told when the host cannot connect for it: a reset, ICMP, or nothing. docs/networking.md; RFC 1122 §4.2.3.9.
import {
  EACCES,
  EADDRNOTAVAIL,
  EAFNOSUPPORT,
  EHOSTDOWN,
  EHOSTUNREACH,
  ENETDOWN,
  ENETUNREACH,
  ENOPROTOOPT,
  EPERM,
  EPROTO,
  ETIMEDOUT,
} from '../../sys/errno.ts'
import type { IcmpErrorKind } from '../icmp/icmp-errors.ts'

/** `errno` is positive: of connect(2), or SO_ERROR. */
export function answerToFailure(errno: number): IcmpErrorKind | 'reset' | 'silence' {
  switch (errno) {
    case EHOSTUNREACH:
    case EHOSTDOWN:
      return 'host-unreachable'
    case ENETUNREACH:
    case ENETDOWN:
    case EAFNOSUPPORT:
    case EADDRNOTAVAIL:
      return 'network-unreachable'
    case EACCES:
    case EPERM:
      return 'prohibited'
    case ENOPROTOOPT:
    case EPROTO:
      return 'protocol-unreachable'
    // The guest's own timer is about to say the same; a late segment meets no flow and gets a reset.
    case ETIMEDOUT:
      return 'silence'
    default:
      return 'reset'
  }
}
