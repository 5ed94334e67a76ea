// The states through which a device's two halves find each other.
// Source: xen/include/public/io/xenbus.h.

export type XenbusState =
  /** No such node, or no such state. */
  | 'unknown'
  | 'initialising'
  | 'waiting for the frontend'
  | 'initialised'
  | 'connected'
  | 'closing'
  | 'closed'
  | 'reconfiguring'
  | 'reconfigured'

const states: readonly XenbusState[] = [
  'unknown',
  'initialising',
  'waiting for the frontend',
  'initialised',
  'connected',
  'closing',
  'closed',
  'reconfiguring',
  'reconfigured',
]

/** Reads a state node's value. It may be a guest's: anything that is not a state is `unknown`. */
export function readBackendState(value: string | undefined): XenbusState {
  if (value === undefined || !/^[0-8]$/.test(value)) return 'unknown'
  return states[Number(value)] ?? 'unknown'
}

/** True once the backend has found its device and would answer a frontend. */
export function isBackendReady(state: XenbusState): boolean {
  return state === 'waiting for the frontend' || state === 'initialised' || state === 'connected'
}
