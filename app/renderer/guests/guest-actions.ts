// What can be done with a guest now, and where it cannot, why not. Pure: the buttons and menus ask here.
import type { GuestSummary } from '../../../core/api/methods.ts'
import { text } from '../text/en.ts'

export type GuestAction = 'start' | 'stop' | 'pause' | 'unpause' | 'kill' | 'remove'

export interface ActionContext {
  readonly isConnected: boolean
  /** An action of the same guest is not finished. */
  readonly isBusy: boolean
}

/** Why the action is not possible now; undefined where it is. */
export function reasonAgainst(
  action: GuestAction,
  guest: Pick<GuestSummary, 'state'>,
  { isConnected, isBusy }: ActionContext,
): string | undefined {
  if (!isConnected) return text.common.notConnected
  // A stop that takes its time may be cut short.
  if (isBusy && action !== 'kill') return text.guest.reasons.busy
  return reasonOfState(action, guest.state)
}

function reasonOfState(action: GuestAction, state: GuestSummary['state']): string | undefined {
  const reasons = text.guest.reasons
  const isAtRest = state === 'created' || state === 'exited'
  switch (action) {
    case 'start':
      if (isAtRest) return undefined
      return state === 'stopping' ? reasons.isStopping : reasons.alreadyRuns
    case 'remove':
      return isAtRest ? undefined : reasons.stillRuns
    case 'kill':
      return isAtRest ? reasons.notRunning : undefined
    case 'stop':
      if (isAtRest) return reasons.notRunning
      if (state === 'stopping') return reasons.isStopping
      return state === 'paused' ? reasons.isPaused : undefined
    case 'pause':
      if (isAtRest) return reasons.notRunning
      if (state === 'starting') return reasons.isStarting
      if (state === 'stopping') return reasons.isStopping
      return state === 'paused' ? reasons.isPaused : undefined
    case 'unpause':
      return state === 'paused' ? undefined : reasons.notRunning
  }
}

/** The buttons of a guest's header, the rest goes into its menu. */
export function shownActions(state: GuestSummary['state']): readonly GuestAction[] {
  switch (state) {
    case 'created':
    case 'exited':
      return ['start', 'remove']
    case 'paused':
      return ['unpause', 'kill']
    default:
      return ['stop', 'pause']
  }
}
