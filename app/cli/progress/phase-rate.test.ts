import { describe, expect, it } from 'vitest'
import type { JobProgress } from '../../../core/api/methods.ts'
import { PhaseRate } from './phase-rate.ts'

const progress = (phase: string, bytesDone: number, layers: JobProgress['layers'] = []): JobProgress => ({
  phase,
  bytesDone,
  bytesTotal: 1_000_000,
  layers,
})
const present = (bytesDone: number) => ({
  digest: `sha256:${'ab'.repeat(32)}`,
  bytesDone,
  bytesTotal: bytesDone,
  state: 'present',
})

describe('PhaseRate', () => {
  it('knows nothing of a phase that has just begun', () => {
    const rate = new PhaseRate()
    rate.add(0, progress('download', 0))
    rate.add(1000, progress('download', 1000))
    expect(rate.bytesPerSecond(1000)).toBe(1000)
    rate.add(1100, progress('write', 900_000))
    expect(rate.bytesPerSecond(1100)).toBeUndefined()
    rate.add(2100, progress('write', 900_200))
    expect(rate.bytesPerSecond(2100)).toBe(200)
  })

  it('does not count layers that were there before, unless it is their unpacking', () => {
    const rate = new PhaseRate()
    rate.add(0, progress('download', 0))
    rate.add(500, progress('download', 500_000, [present(500_000)]))
    rate.add(1000, progress('download', 500_100, [present(500_000)]))
    expect(rate.bytesPerSecond(1000)).toBe(100)
    rate.add(2000, progress('unpack', 0, [present(500_000)]))
    rate.add(3000, progress('unpack', 700, [present(500_000)]))
    expect(rate.bytesPerSecond(3000)).toBe(700)
  })
})
