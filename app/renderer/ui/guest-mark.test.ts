import { expect, it } from 'vitest'
import type { GuestSummary } from '../../../core/api/methods.ts'
import { guestMark } from './guest-mark.ts'

const exit = (reason: NonNullable<GuestSummary['exit']>['reason'], code: number) => ({
  state: 'exited' as const,
  exit: { reason, code, message: '', finishedAt: '2026-11-24T06:00:00.000Z' },
})

it('guestMark() gives every state a shape of its own, with a word', () => {
  const marks = [
    guestMark({ state: 'running' }),
    guestMark({ state: 'starting' }),
    guestMark({ state: 'paused' }),
    guestMark({ state: 'created' }),
    guestMark(exit('exited', 0)),
    guestMark(exit('exited', 7)),
    guestMark(exit('crashed', 125)),
  ]
  expect(marks.map(({ shape }) => shape)).toEqual([
    'dot',
    'ring',
    'bars',
    'hollow',
    'tick',
    'number',
    'triangle',
  ])
  expect(new Set(marks.map(({ word }) => word)).size).toBe(marks.length)
})

it('guestMark() is red only for what went wrong', () => {
  expect(guestMark(exit('signalled', 143)).colour).toBe('red')
  expect(guestMark(exit('exec-failed', 127))).toMatchObject({ number: 127, colour: 'red' })
  expect(guestMark(exit('lost', 125)).colour).toBe('red')
  expect(guestMark(exit('killed', 137)).colour).toBe('grey')
  expect(guestMark(exit('powered-off', 0)).colour).toBe('grey')
})
