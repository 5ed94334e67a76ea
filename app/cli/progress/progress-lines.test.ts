import { describe, expect, it } from 'vitest'
import type { Job } from '../../../core/api/methods.ts'
import { type Layer, progressLines } from './progress-lines.ts'

const layer = (digits: string, changes: Partial<Layer>): Layer => ({
  digest: `sha256:${digits.repeat(32)}`,
  bytesDone: 0,
  bytesTotal: 0,
  state: 'waiting',
  ...changes,
})
const job: Pick<Job, 'title' | 'state' | 'progress'> = {
  title: 'Pull busybox',
  state: 'running',
  progress: {
    phase: 'download',
    bytesDone: 1_500_000,
    bytesTotal: 3_000_000,
    layers: [
      layer('ab', { bytesDone: 1_500_000, bytesTotal: 3_000_000, state: 'active' }),
      layer('cd', {}),
      layer('ef', { state: 'present', bytesDone: 5, bytesTotal: 5 }),
      layer('01', { state: 'mystery\x1b[2J' }),
    ],
  },
}
const options = { columns: 120, rows: 40, bytesPerSecond: () => 100_000 }

describe('progressLines()', () => {
  it('has a line for the whole and one for each layer', () => {
    expect(progressLines(job, options)).toEqual([
      'Pull busybox: downloading 1.5MB/3MB 100kB/s 15s',
      'abababababab: Downloading    [==============>               ]       1.5MB/3MB  100kB/s 15s',
      'cdcdcdcdcdcd: Waiting',
      'efefefefefef: Already exists',
      '010101010101: mystery\\x1b[2J',
    ])
  })

  it('tells how it ended', () => {
    const [head] = progressLines({ ...job, state: 'done' }, options)
    expect(head).toBe('Pull busybox: complete')
  })

  it.each([
    [80, 'abababababab: Downloading    [=========>         ]       1.5MB/3MB  100kB/s 15s'],
    [60, 'abababababab: Downloading 1.5MB/3MB  100kB/s 15s'],
    [40, 'abababababab: Downloading 1.5MB/3MB'],
    [24, 'abababababab: Download…'],
  ])('gives up the bar, then the rate, in %i columns', (columns, line) => {
    expect(progressLines(job, { ...options, columns })[1]).toBe(line)
  })

  it.each([1, 2, 10, 33, 79, 200])('is never as wide as %i columns', (columns) => {
    for (const line of progressLines(job, { ...options, columns }))
      expect(line.length).toBeLessThan(columns + 1)
  })

  it('shows those in which something happens where not all fit', () => {
    const layers = [
      layer('11', { state: 'done' }),
      layer('22', { state: 'done' }),
      layer('33', { state: 'active', bytesDone: 1, bytesTotal: 2 }),
      layer('44', {}),
      layer('55', { state: 'unpacking' }),
    ]
    const lines = progressLines({ ...job, progress: { ...job.progress, layers } }, { ...options, rows: 5 })
    expect(lines.map((line) => line.slice(0, 24).trimEnd())).toEqual([
      'Pull busybox: downloadin',
      '333333333333: Downloadin',
      '555555555555: Extracting',
      'and 3 more: 2 pull compl',
    ])
    expect(lines[3]).toBe('and 3 more: 2 pull complete, 1 waiting')
  })

  it.each([1, 2, 3])('leaves a row for the cursor of %i', (rows) => {
    expect(progressLines(job, { ...options, rows }).length).toBeLessThanOrEqual(Math.max(1, rows - 1))
  })
})
