// Names and numbers of signals, as the guest's Linux has them.
import { constants } from 'node:os'
import { GuestError } from './errors.ts'

const sigrtmin = 34
const sigrtmax = 64

/** The number of `SIGTERM`, `term`, `15` or `SIGRTMIN+3`. */
export function signalNumber(name: string): number {
  if (/^\d{1,2}$/.test(name)) {
    const number = Number(name)
    if (number >= 1 && number <= sigrtmax) return number
  }
  const upper = name.toUpperCase()
  const full = upper.startsWith('SIG') ? upper : `SIG${upper}`
  const realTime = /^SIGRT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(full)
  if (realTime !== null) {
    const [, base, sign = '+', distance = '0'] = realTime
    const number = (base === 'MIN' ? sigrtmin : sigrtmax) + (sign === '-' ? -1 : 1) * Number(distance)
    if (number >= sigrtmin && number <= sigrtmax) return number
  }
  const known = (constants.signals as Partial<Record<string, number>>)[full]
  if (known !== undefined) return known
  throw new GuestError('guest.bad-signal', `There is no signal "${name}"`, {
    hint: 'Use a name as in "kill -l", for example SIGTERM, or a number from 1 to 64.',
  })
}

/** `SIGKILL` for 9; the number as text where it has no name. */
export function signalName(number: number): string {
  for (const [name, value] of Object.entries(constants.signals)) if (value === number) return name
  return number >= sigrtmin && number <= sigrtmax ? `SIGRTMIN+${number - sigrtmin}` : String(number)
}
