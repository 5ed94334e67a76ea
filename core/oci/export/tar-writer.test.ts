import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { TarEntry } from '../layer/tar-entry.ts'
import { TarParser } from '../layer/tar-parser.ts'
import { TAR_END, tarHeader, tarPadding, tarSize } from './tar-writer.ts'

const run = promisify(execFile)
let folder: string
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'bulkhead-tar-'))
})
afterEach(() => rm(folder, { recursive: true }))

const sha512 = `blobs/sha512/${'0123456789abcdef'.repeat(8)}`
const members = [
  { name: 'oci-layout', content: Buffer.from('{}') },
  { name: 'blobs/', content: Buffer.alloc(0) },
  { name: 'empty', content: Buffer.alloc(0) },
  { name: 'n'.repeat(100), content: Buffer.alloc(512, 'x') },
  { name: sha512, content: Buffer.alloc(1300, 'y') },
]
const toMember = ({ name, content }: (typeof members)[number]) => ({ name, sizeBytes: content.length })
const archive = () =>
  Buffer.concat([
    ...members.flatMap((member) => [
      tarHeader(toMember(member)),
      member.content,
      tarPadding(member.content.length),
    ]),
    TAR_END,
  ])

test('GNU tar reads what is written, and its size was known before', async () => {
  const file = path.join(folder, 'archive.tar')
  await writeFile(file, archive())
  expect(tarSize(members.map(toMember))).toBe(archive().length)
  const { stdout } = await run('tar', ['--list', '--verbose', '--numeric-owner', '--utc', '-f', file])
  const lines = stdout.trimEnd().split('\n')
  expect(lines.map((line) => line.split(/\s+/).slice(2).join(' '))).toEqual(
    members.map(({ name, content }) => `${content.length} 1970-01-01 00:00 ${name}`),
  )
  expect(lines[0]).toMatch(/^-rw-r--r-- 0\/0 /)
  expect(lines[1]).toMatch(/^drwxr-xr-x 0\/0 /)
  for (const { name, content } of members.filter((member) => !member.name.endsWith('/'))) {
    const extracted = await run('tar', ['-xOf', file, name], { encoding: 'buffer' })
    expect(extracted.stdout.equals(content)).toBe(true)
  }
})

test('a size beyond what eleven octal digits hold is told', () => {
  const entries: TarEntry[] = []
  const parser = new TarParser('the archive', {
    entry: (entry) => entries.push(entry),
    data: () => undefined,
    hole: () => undefined,
    end: () => undefined,
  })
  const sizeBytes = 20 * 2 ** 30 + 17
  parser.write(tarHeader({ name: sha512, sizeBytes }))
  expect(entries).toMatchObject([{ path: sha512, sizeBytes, type: 'file', mode: 0o644, uid: 0 }])
})
