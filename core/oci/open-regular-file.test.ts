import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openRegularFile } from './open-regular-file.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'bulkhead-open-'))
})
afterEach(() => rm(folder, { recursive: true }))

test('opens a file', async () => {
  await writeFile(path.join(folder, 'file'), 'content')
  await using file = await openRegularFile(path.join(folder, 'file'))
  expect(await file?.readFile('utf8')).toBe('content')
})

test.each<[string, (place: string) => unknown]>([
  ['nothing', () => undefined],
  ['a link to a file', (place) => symlink(path.join(folder, 'file'), place)],
  ['a folder', (place) => mkdir(place)],
  ['a FIFO that nobody writes to', (place) => execFileSync('mkfifo', [place])],
])('opens nothing where there is %s', async (_, make) => {
  await writeFile(path.join(folder, 'file'), 'content')
  const place = path.join(folder, 'place')
  await make(place)
  expect(await openRegularFile(place)).toBeUndefined()
})
