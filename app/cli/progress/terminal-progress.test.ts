// Drawn on a real terminal emulator: what a person sees, also after the terminal's size has changed.
import { EventEmitter } from 'node:events'
import { Terminal } from '@xterm/headless'
import { afterEach, describe, expect, it } from 'vitest'
import type { Job } from '../../../core/api/methods.ts'
import { type ProgressTerminal, TerminalProgress } from './terminal-progress.ts'

class Screen extends EventEmitter {
  readonly emulator: Terminal
  #written: Promise<void> = Promise.resolve()

  constructor(columns: number, rows: number) {
    super()
    this.emulator = new Terminal({ cols: columns, rows, convertEol: true, allowProposedApi: true })
  }

  get columns(): number {
    return this.emulator.cols
  }

  get rows(): number {
    return this.emulator.rows
  }

  write(text: string): boolean {
    this.#written = new Promise((resolve) => this.emulator.write(text, resolve))
    return true
  }

  async resize(columns: number, rows: number): Promise<void> {
    await this.#written
    this.emulator.resize(columns, rows)
    this.emit('resize')
  }

  /** All rows that are not empty, those that have scrolled away too. */
  async lines(): Promise<string[]> {
    await this.#written
    const { active } = this.emulator.buffer
    const rows = Array.from(
      { length: active.length },
      (_, row) => active.getLine(row)?.translateToString(true) ?? '',
    )
    return rows.filter((row) => row !== '')
  }
}

const displays: TerminalProgress[] = []
afterEach(async () => {
  for (const display of displays.splice(0)) await display.end()
})
const display = (screen: Screen, now: () => number = () => 0) => {
  const progress = new TerminalProgress(screen as unknown as ProgressTerminal, now)
  displays.push(progress)
  return progress
}
const job = (changes: Partial<Job['progress']>, state: Job['state'] = 'running', layerCount = 2): Job => ({
  id: 'j',
  kind: 'pull',
  title: 'Pull app',
  state,
  startedAt: '2026-11-24T06:00:00.000Z',
  references: [],
  progress: {
    phase: 'download',
    bytesDone: 0,
    bytesTotal: 2000,
    layers: Array.from({ length: layerCount }, (_, index) => ({
      digest: `sha256:${String(index % 10).repeat(64)}`,
      bytesDone: 500,
      bytesTotal: 1000,
      state: 'active',
    })),
    ...changes,
  },
})

describe('TerminalProgress', () => {
  it('draws over what it drew before, and below what was there', async () => {
    const screen = new Screen(100, 20)
    screen.write('$ bulkhead pull app\n')
    const progress = display(screen)
    for (const bytesDone of [0, 500, 1000]) progress.show(job({ bytesDone }))
    expect(await screen.lines()).toEqual([
      '$ bulkhead pull app',
      'Pull app: downloading 1kB/2kB',
      expect.stringMatching(/^000000000000: Downloading +\[=+> +\] +500B\/1kB$/),
      expect.stringMatching(/^111111111111: Downloading/),
    ])
  })

  it('keeps the layers through the phases after the download, and tells the end and the limit', async () => {
    const screen = new Screen(100, 20)
    const progress = display(screen)
    const done = job({}).progress.layers.map((layer) => ({ ...layer, state: 'done' }))
    progress.show(job({ layers: done }))
    progress.show(job({ phase: 'write', layers: [], bytesDone: 1, bytesTotal: 2 }))
    expect(await screen.lines()).toEqual([
      'Pull app: writing the root image 1B/2B',
      '000000000000: Pull complete',
      '111111111111: Pull complete',
    ])
    progress.show(job({ layers: [], rateLimit: { limit: 100, remaining: 9 } }, 'done'))
    expect(await screen.lines()).toEqual([
      'Pull app: complete',
      '000000000000: Pull complete',
      '111111111111: Pull complete',
      'The registry allows 100 pulls; 9 are left',
    ])
  })

  it('tells rates once there is something to tell, and their fall', async () => {
    let nowMs = 0
    const screen = new Screen(100, 20)
    const progress = display(screen, () => nowMs)
    progress.show(job({ bytesDone: 0 }))
    nowMs = 1000
    progress.show(job({ bytesDone: 1000 }))
    expect((await screen.lines())[0]).toBe('Pull app: downloading 1kB/2kB 1kB/s 1s')
    nowMs = 10_000
    screen.emit('resize')
    expect((await screen.lines())[0]).toBe('Pull app: downloading 1kB/2kB 100B/s 10s')
  })

  it.each([
    [100, 20],
    [30, 20],
    [12, 20],
    [100, 4],
    [100, 2],
    [5, 3],
  ])('stands once on a terminal of %i columns and %i rows', async (columns, rows) => {
    const screen = new Screen(columns, rows)
    const progress = display(screen)
    for (let bytesDone = 0; bytesDone < 5; bytesDone++) progress.show(job({ bytesDone }, 'running', 8))
    const lines = await screen.lines()
    expect(lines.length).toBeLessThanOrEqual(Math.max(1, rows - 1))
    expect(lines.filter((line) => line.startsWith('P'))).toHaveLength(1)
  })

  it('stands once after the terminal became narrower, and wider again', async () => {
    const screen = new Screen(100, 24)
    screen.write('$ bulkhead pull app\n')
    const progress = display(screen)
    progress.show(job({}))
    for (const columns of [40, 100, 25, 90]) {
      await screen.resize(columns, 24)
      const lines = await screen.lines()
      expect(lines[0]).toBe('$ bulkhead pull app')
      expect(lines.slice(1).map((line) => line.slice(0, 8))).toEqual(['Pull app', '00000000', '11111111'])
    }
  })

  it('writes nothing before there is something to show, and nothing after its end', async () => {
    const screen = new Screen(80, 24)
    const progress = display(screen)
    screen.emit('resize')
    expect(await screen.lines()).toEqual([])
    progress.show(job({}))
    await progress.end()
    const before = await screen.lines()
    screen.emit('resize')
    expect(await screen.lines()).toEqual(before)
    expect(screen.listenerCount('resize')).toBe(0)
  })
})
