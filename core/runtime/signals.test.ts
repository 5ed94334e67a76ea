import { describe, expect, it } from 'vitest'
import { signalName, signalNumber } from './signals.ts'

describe('signals', () => {
  it.each([
    ['SIGTERM', 15],
    ['term', 15],
    ['9', 9],
    ['SIGRTMIN+3', 37],
    ['RTMAX-1', 63],
  ])('%s is %i', (name, number) => expect(signalNumber(name)).toBe(number))

  it.each(['', 'SIGNOSUCH', '0', '65', 'SIGRTMIN+99', '-1'])('"%s" is refused', (name) => {
    expect(() => signalNumber(name)).toThrow('There is no signal')
  })

  it('have names', () => {
    expect([9, 37].map(signalName)).toEqual(['SIGKILL', 'SIGRTMIN+3'])
  })
})
