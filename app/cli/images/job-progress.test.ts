import { describe, expect, it } from 'vitest'
import type { Job } from '../../../core/api/methods.ts'
import { progressLines } from './job-progress.ts'

const job: Job = {
  id: 'j',
  kind: 'pull',
  title: 'Pull busybox',
  state: 'running',
  startedAt: '2026-11-24T06:00:00.000Z',
  progress: {
    phase: 'download',
    bytesDone: 1_500_000,
    bytesTotal: 3_000_000,
    layers: [
      {
        digest: `sha256:${'ab'.repeat(32)}`,
        bytesDone: 1_500_000,
        bytesTotal: 3_000_000,
        state: 'downloading',
      },
      { digest: `sha256:${'cd'.repeat(32)}`, bytesDone: 0, bytesTotal: 0, state: 'waiting\x1b[2J' },
    ],
  },
  references: [],
}

describe('progressLines()', () => {
  it('has a line for the whole and one for each layer', () => {
    expect(progressLines(job, 100)).toEqual([
      'Pull busybox: download 1.5MB of 3MB',
      '  abababababab [============            ] downloading 1.5MB of 3MB',
      '  cdcdcdcdcdcd [                        ] waiting\\x1b[2J',
    ])
  })

  it('fits into the terminal', () => {
    for (const line of progressLines(job, 30)) expect(line.length).toBeLessThan(30)
  })
})
