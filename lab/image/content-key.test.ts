import { chmodSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, expect, test } from 'vitest'
import { temporaryFolder } from '../temporary-folder.fixture.ts'
import { folderKey } from './content-key.ts'

let folder: string

beforeEach(() => {
  folder = join(temporaryFolder('key'), 'content')
  mkdirSync(folder)
  mkdirSync(join(folder, 'sub'))
  writeFileSync(join(folder, 'sub/file'), 'one')
  symlinkSync('sub/file', join(folder, 'link'))
})

test.each([
  ['a byte', () => writeFileSync(join(folder, 'sub/file'), 'two')],
  ['a mode', () => chmodSync(join(folder, 'sub/file'), 0o755)],
  ['a name', () => renameSync(join(folder, 'sub/file'), join(folder, 'sub/other'))],
  ['a new file', () => writeFileSync(join(folder, 'new'), '')],
])('folderKey() changes with %s', (_what, change) => {
  const before = folderKey([folder])
  change()
  expect(folderKey([folder])).not.toBe(before)
})

test('folderKey() is the same for the same content at another place', () => {
  const before = folderKey([folder])
  renameSync(folder, `${folder}-moved`)
  expect(folderKey([`${folder}-moved`])).toBe(before)
})
