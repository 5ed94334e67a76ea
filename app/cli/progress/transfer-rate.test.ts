import { describe, expect, it } from 'vitest'
import { TransferRate } from './transfer-rate.ts'

describe('TransferRate', () => {
  it('says nothing before there is enough to tell', () => {
    const rate = new TransferRate()
    expect(rate.bytesPerSecond(0)).toBeUndefined()
    rate.add(0, 500)
    rate.add(100, 1000)
    expect(rate.bytesPerSecond(100)).toBeUndefined()
  })

  it('does not count what was there at the beginning', () => {
    const rate = new TransferRate()
    rate.add(0, 1_000_000)
    rate.add(1000, 1_000_500)
    expect(rate.bytesPerSecond(1000)).toBe(500)
  })

  it('forgets what is long ago', () => {
    const rate = new TransferRate()
    for (let second = 0; second <= 10; second++) rate.add(second * 1000, second < 5 ? 0 : (second - 5) * 100)
    expect(rate.bytesPerSecond(10_000)).toBe(100)
  })

  it('falls where nothing comes, and begins anew where it goes back', () => {
    const rate = new TransferRate()
    rate.add(0, 0)
    rate.add(1000, 1000)
    expect(rate.bytesPerSecond(10_000)).toBe(100)
    rate.add(11_000, 10)
    rate.add(12_000, 20)
    expect(rate.bytesPerSecond(12_000)).toBe(10)
  })
})
