import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { RingBudget } from './broker/byte-ring.ts'
import type { StreamSession } from './broker/stream-session.ts'
import { GuestStreams } from './guest-streams.ts'
import { type LogSessionOptions, logSession } from './log-session.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'log-session-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

function newStreams(terminal = false) {
  return new GuestStreams({
    budget: new RingBudget(),
    terminal,
    stdioLogPath: join(folder, 'stdio.log'),
    bootLogPath: join(folder, 'boot.log'),
    now: () => 0,
    onLimit: () => undefined,
    onLogError: (error) => expect.unreachable(String(error)),
  })
}
const options = (more: Partial<LogSessionOptions> = {}): LogSessionOptions => ({
  source: 'stdio',
  follow: false,
  terminal: false,
  path: join(folder, 'stdio.log'),
  ...more,
})

/** All that a client gets, with each stream's bytes checked to be without a gap. */
async function collect(session: StreamSession): Promise<{ out: string; err: string }> {
  const text = new Map([
    [1, ''],
    [2, ''],
  ])
  await Promise.all(
    session.outputs.map(async (events) => {
      for await (const event of events) {
        const so = text.get(event.stream) ?? ''
        expect(event.offset).toBe(so.length)
        if (event.kind === 'data') text.set(event.stream, so + Buffer.from(event.bytes).toString('latin1'))
      }
    }),
  )
  return { out: text.get(1) ?? '', err: text.get(2) ?? '' }
}

describe('logSession()', () => {
  it('joins the files and what comes after them without a gap, both streams apart', async () => {
    const streams = newStreams()
    streams.stdout.append(Buffer.from('one\n'), 0)
    streams.stderr?.append(Buffer.from('oops\n'), 0)
    const collected = collect(await logSession(streams, options({ follow: true })))
    streams.stdout.append(Buffer.from('two\n'), 0)
    streams.stderr?.append(Buffer.from('again\n'), 0)
    await streams.end()
    expect(await collected).toEqual({ out: 'one\ntwo\n', err: 'oops\nagain\n' })
    expect(await collect(await logSession(undefined, options()))).toEqual({
      out: 'one\ntwo\n',
      err: 'oops\nagain\n',
    })
  })

  it.each([
    [0, ''],
    [1, 'three\n'],
    [2, 'two\nthree\n'],
    [9, 'one\ntwo\nthree\n'],
  ])('begins with the last %i lines', async (tailLines, out) => {
    const streams = newStreams()
    for (const piece of ['o', 'ne\ntw', 'o\nthr', 'ee\n']) streams.stdout.append(Buffer.from(piece), 0)
    expect((await collect(await logSession(streams, options({ tailLines })))).out).toBe(out)
    await streams.end()
  })

  it('ends when its client goes away', async () => {
    const streams = newStreams()
    const session = await logSession(streams, options({ follow: true }))
    const collected = collect(session)
    session.close()
    expect(await collected).toEqual({ out: '', err: '' })
    await streams.end()
  })
})
