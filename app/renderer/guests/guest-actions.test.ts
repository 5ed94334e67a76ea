import { describe, expect, it } from 'vitest'
import type { GuestSummary } from '../../../core/api/methods.ts'
import { type GuestAction, reasonAgainst, shownActions } from './guest-actions.ts'

const free = { isConnected: true, isBusy: false }
const states: readonly GuestSummary['state'][] = [
  'created',
  'starting',
  'running',
  'paused',
  'stopping',
  'exited',
]
const actions: readonly GuestAction[] = ['start', 'stop', 'pause', 'unpause', 'kill', 'remove']

/** Each action and the states in which it is possible. */
const possible: Readonly<Record<GuestAction, readonly GuestSummary['state'][]>> = {
  start: ['created', 'exited'],
  stop: ['starting', 'running'],
  pause: ['running'],
  unpause: ['paused'],
  kill: ['starting', 'running', 'paused', 'stopping'],
  remove: ['created', 'exited'],
}

describe('reasonAgainst()', () => {
  it.each(actions)('%s is possible where it makes sense, and says why not elsewhere', (action) => {
    const allowed = states.filter((state) => reasonAgainst(action, { state }, free) === undefined)
    expect(allowed).toEqual(possible[action])
    for (const state of states.filter((one) => !allowed.includes(one)))
      expect(reasonAgainst(action, { state }, free)).toMatch(/^It /)
  })
  it('nothing is possible without a connection', () => {
    for (const action of actions)
      expect(reasonAgainst(action, { state: 'running' }, { ...free, isConnected: false })).toMatch(
        /no connection/,
      )
  })
  it('while an action goes on only a kill is possible', () => {
    const busy = { ...free, isBusy: true }
    expect(reasonAgainst('kill', { state: 'stopping' }, busy)).toBeUndefined()
    expect(reasonAgainst('start', { state: 'exited' }, busy)).toMatch(/not finished/)
  })
})

it('shownActions() never shows what its state rules out', () => {
  for (const state of states) {
    const [first] = shownActions(state)
    if (first !== undefined && state !== 'stopping')
      expect(reasonAgainst(first, { state }, free)).toBeUndefined()
  }
})
