// How a guest's state looks: shape, colour and word together, so that none of them carries it alone.
import type { GuestSummary } from '../../../core/api/methods.ts'
import { text } from '../text/en.ts'

export interface GuestMark {
  readonly shape: 'dot' | 'ring' | 'bars' | 'hollow' | 'tick' | 'triangle' | 'number'
  readonly colour: 'green' | 'amber' | 'red' | 'grey'
  readonly word: string
  /** What the shape `number` shows. */
  readonly number?: number
}

export function guestMark({ state, exit }: Pick<GuestSummary, 'state' | 'exit'>): GuestMark {
  switch (state) {
    case 'running':
      return { shape: 'dot', colour: 'green', word: text.guestState.running }
    case 'starting':
      return { shape: 'ring', colour: 'green', word: text.guestState.starting }
    case 'stopping':
      return { shape: 'ring', colour: 'grey', word: text.guestState.stopping }
    case 'paused':
      return { shape: 'bars', colour: 'amber', word: text.guestState.paused }
    case 'created':
      return { shape: 'hollow', colour: 'grey', word: text.guestState.created }
    case 'exited':
      return exitedMark(exit)
  }
}

function exitedMark(exit: GuestSummary['exit']): GuestMark {
  if (exit === undefined) return { shape: 'hollow', colour: 'grey', word: text.guestState.exited }
  switch (exit.reason) {
    case 'crashed':
    case 'lost':
      return { shape: 'triangle', colour: 'red', word: text.exitReason[exit.reason] }
    case 'killed':
    case 'powered-off':
      return { shape: 'hollow', colour: 'grey', word: text.exitReason[exit.reason] }
    default:
      return exit.code === 0
        ? { shape: 'tick', colour: 'grey', word: text.exitedWith(0) }
        : { shape: 'number', number: exit.code, colour: 'red', word: text.exitedWith(exit.code) }
  }
}
