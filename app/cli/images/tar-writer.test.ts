import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { listFolder, tarSizeBytes, writeTar } from './tar-writer.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'bulkhead-tar-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

describe('writeTar()', () => {
  it('writes what tar unpacks to the same, with names of any length', async () => {
    const source = join(folder, 'source')
    const long = `${'d'.repeat(60)}/${'ü'.repeat(80)}`
    mkdirSync(join(source, 'blobs', 'sha256'), { recursive: true })
    mkdirSync(join(source, 'd'.repeat(60)))
    writeFileSync(join(source, 'index.json'), '{}')
    writeFileSync(join(source, 'empty'), '')
    writeFileSync(join(source, long), 'long name')
    writeFileSync(join(source, 'blobs', 'sha256', 'a'.repeat(64)), Buffer.alloc(300_000, 'x'))
    symlinkSync('index.json', join(source, 'link'))

    const entries = await listFolder(source)
    const archive = await buffer(writeTar(entries))
    expect(archive.length).toBe(tarSizeBytes(entries))
    expect(entries.findIndex(({ name }) => name === 'index.json')).toBeLessThan(
      entries.findIndex(({ name }) => name.startsWith('blobs')),
    )
    mkdirSync(join(folder, 'unpacked'))
    execFileSync('tar', ['-xf', '-', '-C', join(folder, 'unpacked')], { input: archive })
    rmSync(join(source, 'link'))
    writeFileSync(join(source, 'link'), '{}') // Links come as what they lead to.
    execFileSync('diff', ['-r', source, join(folder, 'unpacked')])
  })

  it('writes sizes beyond what the old field holds', () => {
    const entry = { kind: 'file', source: '/x', modifiedAtSeconds: 0 } as const
    const sizeBytes = 9 * 1024 ** 3
    expect(tarSizeBytes([{ ...entry, name: 'big', sizeBytes }])).toBe(512 * 3 + sizeBytes + 1024)
  })

  it('says so when a file became shorter', async () => {
    writeFileSync(join(folder, 'file'), 'some bytes')
    const entries = await listFolder(folder)
    truncateSync(join(folder, 'file'), 3)
    await expect(buffer(writeTar(entries))).rejects.toThrow('it became shorter while it was read')
  })

  it('refuses what is neither file nor folder', async () => {
    execFileSync('mkfifo', [join(folder, 'pipe')])
    await expect(listFolder(folder)).rejects.toThrow('it is neither a file nor a folder')
  })
})
