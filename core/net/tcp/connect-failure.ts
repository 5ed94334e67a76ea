// What a guest is told when the host cannot connect for it: a reset, ICMP, or nothing. docs/networking.md; RFC 1122 §4.2.3.9.
import { ECONNREFUSED, EMFILE, EMSGSIZE, ENFILE, ENOBUFS, ENOMEM, ETIMEDOUT } from '../../sys/errno.ts'
import { icmpErrorOfErrno } from '../icmp/errno-errors.ts'
import type { IcmpErrorKind } from '../icmp/icmp-errors.ts'

/** `errno` is positive: of connect(2), or SO_ERROR. */
export function answerToFailure(errno: number): IcmpErrorKind | 'reset' | 'silence' {
  switch (errno) {
    case ECONNREFUSED:
    // Ours, not the network's: the guest may try again at once.
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EMSGSIZE:
      return 'reset'
    // The guest's own timer is about to say the same; a late segment meets no flow and gets a reset.
    case ETIMEDOUT:
      return 'silence'
    default:
      return icmpErrorOfErrno(errno) ?? 'reset'
  }
}
