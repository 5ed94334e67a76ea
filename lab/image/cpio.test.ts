import { execFileSync } from 'node:child_process'
import { lstatSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../temporary-folder.fixture.ts'
import { writeCpio } from './cpio.ts'

const archive = writeCpio([
  { path: 'bin', mode: 0o040755 },
  { path: 'bin/tool', mode: 0o100755, content: 'odd' },
  { path: 'bin/link', mode: 0o120777, content: 'tool' },
  { path: 'bin/empty', mode: 0o100640 },
  { path: 'last', mode: 0o100644, content: Buffer.from([0, 255, 10]) },
])

test('writeCpio() writes what cpio(1) reads', () => {
  const folder = temporaryFolder('cpio')
  execFileSync('cpio', ['-i', '--quiet'], { input: archive, cwd: folder })
  expect(readFileSync(join(folder, 'bin/link'), 'utf8')).toBe('odd')
  expect(lstatSync(join(folder, 'bin/tool')).mode & 0o777).toBe(0o755)
  expect(lstatSync(join(folder, 'bin/empty')).size).toBe(0)
  expect([...readFileSync(join(folder, 'last'))]).toEqual([0, 255, 10])
})

test('writeCpio() keeps every part at a multiple of four bytes, as the kernel wants it', () => {
  expect(archive.length % 4).toBe(0)
  expect(archive.indexOf('070701', 1) % 4).toBe(0)
})
