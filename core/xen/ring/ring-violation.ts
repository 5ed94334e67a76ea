// A guest that breaks the rules of a shared ring. What is in the ring cannot be trusted from there on: whoever
// catches this lets go of it.
import { XenError } from '../errors.ts'

/** `what` completes "the guest …". */
export function ringViolation(ring: string, what: string): XenError {
  return new XenError('guest-protocol', `Cannot go on with a guest's ${ring}: the guest ${what}`)
}
