import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { GuestLog, type LogSnapshot, type LogTag, readLog } from './guest-log.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'guest-log-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

async function textOf(snapshot: LogSnapshot, tag?: LogTag): Promise<string> {
  let text = ''
  for await (const record of snapshot.records())
    if (tag === undefined || record.tag === tag) text += Buffer.from(record.bytes).toString('latin1')
  return text
}
const record = (tag: LogTag, offset: number, text: string) => ({
  timeMs: 1000,
  tag,
  offset,
  bytes: Buffer.from(text),
})

describe('GuestLog', () => {
  it('gives back what was written before the snapshot, and no more', async () => {
    const log = new GuestLog({ path: join(folder, 'sub', 'stdio.log') })
    log.append(record('o', 0, 'one\n'))
    log.append(record('e', 0, 'oops\n'))
    const snapshot = log.snapshot()
    log.append(record('o', 4, 'two\n'))
    expect(await textOf(await snapshot)).toBe('one\noops\n')
    expect([...(await snapshot).written]).toEqual([
      ['o', 4],
      ['e', 5],
    ])
    await log.close()
    expect(await textOf(readLog(log.path), 'o')).toBe('one\ntwo\n')
  })

  it('turns over at its size and loses nothing of the last two files', async () => {
    const log = new GuestLog({ path: join(folder, 'stdio.log'), rotateBytes: 2000 })
    for (let index = 0; index < 60; index++) {
      log.append(record('o', index * 10, `line ${String(index).padStart(4)}\n`))
      if (index % 10 === 9) await log.snapshot()
    }
    const text = await textOf(await log.snapshot())
    expect(text.endsWith('line   59\n')).toBe(true)
    expect(statSync(`${log.path}.1`).size).toBeGreaterThan(0)
    await log.close()
  })

  it('reads a log that ends in half a record', async () => {
    const path = join(folder, 'stdio.log')
    const log = new GuestLog({ path })
    log.append(record('o', 0, 'whole'))
    log.append(record('o', 5, 'torn by a power cut'))
    await log.snapshot()
    await log.close()
    writeFileSync(path, readFileSync(path).subarray(0, -8))
    expect(await textOf(readLog(path))).toBe('whole')
  })

  it('says so and goes on where the disk does not take it', async () => {
    const errors: unknown[] = []
    writeFileSync(join(folder, 'file'), 'in the way of the folder')
    const log = new GuestLog({
      path: join(folder, 'file', 'stdio.log'),
      onError: (error) => errors.push(error),
    })
    log.append(record('o', 0, 'x'))
    await log.snapshot()
    expect(errors).toHaveLength(1)
    expect(log.waitingBytes).toBe(0)
  })
})
