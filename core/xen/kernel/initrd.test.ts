import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { makeInitrd } from './initrd.ts'

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bulkhead-initrd-'))
})
afterEach(async () => {
  await rm(folder, { recursive: true, force: true })
})

const list = (archive: Uint8Array) =>
  execFileSync('cpio', ['-itv', '--quiet', '--numeric-uid-gid'], {
    input: archive,
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'ignore'],
  })
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/\s+/))

describe('makeInitrd()', () => {
  test('writes files that cpio unpacks with their modes and content', async () => {
    await writeFile(join(folder, 'source'), 'from a file')
    const archive = await makeInitrd([
      { kind: 'file', path: 'init', mode: 0o755, data: '#!/bin/sh\n' },
      { kind: 'directory', path: 'proc', mode: 0o555 },
      { kind: 'file', path: 'etc/deep/name', mode: 0o600, file: join(folder, 'source') },
      { kind: 'link', path: 'etc/alias', target: 'deep/name' },
    ])
    execFileSync('cpio', ['-id', '--quiet'], { input: archive, cwd: folder })
    expect(await readFile(join(folder, 'init'), 'utf8')).toBe('#!/bin/sh\n')
    expect(await readFile(join(folder, 'etc/deep/name'), 'utf8')).toBe('from a file')
    expect(await readlink(join(folder, 'etc/alias'))).toBe('deep/name')
    const modes = await Promise.all(['init', 'proc', 'etc/deep/name'].map((path) => stat(join(folder, path))))
    expect(modes.map((info) => info.mode & 0o7777)).toEqual([0o755, 0o555, 0o600])
  })

  test('adds missing parent folders once, before what is in them', async () => {
    const archive = await makeInitrd([
      { kind: 'file', path: 'a/b/one', mode: 0o644, data: '1' },
      { kind: 'file', path: 'a/b/two', mode: 0o644, data: '2' },
    ])
    expect(list(archive).map((fields) => fields.at(-1))).toEqual(['a', 'a/b', 'a/b/one', 'a/b/two'])
  })

  test('makes device nodes', async () => {
    const archive = await makeInitrd([
      { kind: 'character-device', path: 'dev/console', mode: 0o600, major: 5, minor: 1 },
    ])
    expect(list(archive).at(-1)?.slice(0, 6)).toEqual(['crw-------', '1', '0', '0', '5,', '1'])
  })

  test('gives the same bytes for the same entries, aligned for concatenation', async () => {
    const entries = [{ kind: 'file', path: 'x', mode: 0o644, data: 'y' }] as const
    const archive = await makeInitrd(entries)
    expect(await makeInitrd(entries)).toEqual(archive)
    expect(archive.length % 512).toBe(0)
  })

  test.each(['/etc/passwd', 'a/../b', './a', 'a//b', '', 'a\0b'])('refuses the path %j', async (path) => {
    await expect(makeInitrd([{ kind: 'file', path, mode: 0o644, data: '' }])).rejects.toMatchObject({
      code: 'kernel.initrd-entry',
    })
  })

  test('refuses a path that appears twice', async () => {
    const entry = { kind: 'file', path: 'a', mode: 0o644, data: '' } as const
    await expect(makeInitrd([entry, entry])).rejects.toThrow(
      'Cannot put "a" into an initrd: the path appears twice',
    )
  })
})
