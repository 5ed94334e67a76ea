// Layers as real tools write them: a tree is packed by GNU tar, bsdtar and Python, built into an image, mounted, and
// compared with the tree itself.

import { execFile } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { link, mkdir, mkdtemp, open, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Digester } from '../../core/oci/digest.ts'
import { parseTar } from '../../core/oci/layer/testing/parse-tar.ts'
import { buildFromFiles } from '../../core/oci/segments/testing/build-from-files.ts'
import { run } from './commands.ts'
import { describeTree, differences } from './support/manifest.ts'
import { withMounted } from './support/mounted-image.ts'

const execFileAsync = promisify(execFile)

let folder = ''
/** What every format can hold, and what only the newer ones can. */
let simple = ''
let demanding = ''

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tar-tools-'))
  simple = join(folder, 'simple')
  await mkdir(join(simple, 'directory'), { recursive: true })
  await writeFile(join(simple, 'directory/file'), 'content\n', { mode: 0o640 })
  await writeFile(join(simple, 'large'), Buffer.alloc(300_000, 'content '))
  await link(join(simple, 'large'), join(simple, 'directory/hard'))
  await symlink('../large', join(simple, 'directory/soft'))
  await run('touch', '-d', '@1234567890', join(simple, 'large'), join(simple, 'directory'))
  await run('chown', '1000:100', join(simple, 'directory/file'))

  demanding = join(folder, 'demanding')
  await run('cp', '-a', simple, demanding)
  const long = join(demanding, 'n'.repeat(60), 'm'.repeat(200))
  await mkdir(long, { recursive: true })
  await writeFile(join(long, 'x'.repeat(255)), 'long')
  await symlink('t'.repeat(300), join(demanding, 'long-link'))
  await link(join(long, 'x'.repeat(255)), join(demanding, 'long-hard'))
  await writeFile(join(demanding, 'caf\u00e9'), 'utf-8')
  await run('mknod', join(demanding, 'device'), 'c', '10', '300')
  await run('mkfifo', join(demanding, 'fifo'))
  await writeFile(join(demanding, 'owned'), '')
  await run('chown', '3000000:4000000', join(demanding, 'owned'))
  const holes = await open(join(demanding, 'sparse'), 'w')
  for (let index = 0; index < 60; index++) await holes.write(`data ${index}`, index * 1_000_000)
  await holes.truncate(64_000_000)
  await holes.close()
  await run('setfattr', '-n', 'user.text', '-v', 'value', join(demanding, 'owned'))
  await run(
    'setfattr',
    '-n',
    'security.capability',
    '-v',
    '0x0100000200200000000000000000000000000000',
    join(demanding, 'large'),
  )
  await run('setfattr', '-n', 'trusted.binary', '-v', '0x000aff3d00', join(demanding, 'directory'))
}, 60_000)

afterAll(() => rm(folder, { recursive: true }))

/** Builds an image of a tar file and describes it as the kernel shows it. */
async function imageOf(tar: string): Promise<Map<string, string>> {
  const digester = new Digester()
  for await (const chunk of createReadStream(tar)) digester.update(chunk)
  const digest = digester.finish()
  const output = `${tar}.squashfs`
  await buildFromFiles({ layers: [{ path: tar, digest, diffId: digest }], output })
  return await withMounted(output, describeTree)
}

async function expectSame(source: string, tar: string): Promise<void> {
  expect(differences(await imageOf(tar), describeTree(source))).toEqual([])
}

describe('GNU tar', () => {
  test.each(['v7', 'oldgnu', 'gnu', 'ustar', 'posix'])('%s holds a simple tree', async (format) => {
    const tar = join(folder, `simple-${format}.tar`)
    await run('tar', '-C', simple, `--format=${format}`, '--numeric-owner', '-cf', tar, '.')
    await expectSame(simple, tar)
  })

  test('posix holds a demanding tree with its attributes', async () => {
    const tar = join(folder, 'demanding-posix.tar')
    const attributes = ['--xattrs', '--xattrs-include=*']
    await run('tar', '-C', demanding, '--format=posix', ...attributes, '--numeric-owner', '-cf', tar, '.')
    await expectSame(demanding, tar)
  })

  test.each([
    ['gnu', []],
    ['oldgnu', []],
    ['posix', ['--sparse-version=0.0']],
    ['posix', ['--sparse-version=0.1']],
    ['posix', ['--sparse-version=1.0']],
  ])('%s %j holds files with holes', async (format, options) => {
    const tar = join(folder, `sparse-${format}-${options.join()}.tar`)
    const attributes = format === 'posix' ? ['--xattrs', '--xattrs-include=*'] : []
    const sparse = ['--sparse', '--hole-detection=raw', ...options, ...attributes]
    await run('tar', '-C', demanding, `--format=${format}`, ...sparse, '--numeric-owner', '-cf', tar, '.')
    expect((await readFile(tar)).length).toBeLessThan(2_000_000)
    const image = await imageOf(tar)
    const withoutXattrs = (view: Map<string, string>) =>
      new Map(
        [...view].map(([path, line]) => [
          path,
          line.replace(/(user|security|trusted)\.\S+=0x\S+/g, '').trimEnd(),
        ]),
      )
    const source = describeTree(demanding)
    if (format === 'posix') expect(differences(image, source)).toEqual([])
    else expect(differences(withoutXattrs(image), withoutXattrs(source))).toEqual([])
  })
})

describe('bsdtar', () => {
  test.each(['pax', 'gnutar'])('%s holds a demanding tree', async (format) => {
    const tar = join(folder, `bsdtar-${format}.tar`)
    await run('bsdtar', '-C', demanding, '--format', format, '--numeric-owner', '-cf', tar, '.')
    const image = await imageOf(tar)
    const source = describeTree(demanding)
    if (format === 'pax') {
      expect(differences(image, source)).toEqual([])
      return
    }
    expect([...image.keys()].toSorted()).toEqual([...source.keys()].toSorted())
  })
})

describe('Python tarfile', () => {
  const script = (format: string) => `
import sys, tarfile
with tarfile.open(sys.argv[1], 'w', format=tarfile.${format}) as archive:
    archive.add(sys.argv[2], arcname='.', filter=lambda entry: (setattr(entry, 'mtime', int(entry.mtime)), entry)[1])
`
  test.each(['USTAR_FORMAT', 'GNU_FORMAT', 'PAX_FORMAT'])('%s holds a simple tree', async (format) => {
    const tar = join(folder, `python-${format}.tar`)
    await execFileAsync('python3', ['-c', script(format), tar, simple])
    await expectSame(simple, tar)
  })

  test.each(['GNU_FORMAT', 'PAX_FORMAT'])('%s holds long names and large owners', async (format) => {
    const tar = join(folder, `python-demanding-${format}.tar`)
    await execFileAsync('python3', ['-c', script(format), tar, demanding])
    const entries = parseTar(await readFile(tar))
    expect(entries.find(({ path }) => path.endsWith('/long-link'))?.linkTarget).toBe('t'.repeat(300))
    expect(entries.find(({ path }) => path.endsWith('/owned'))).toMatchObject({
      uid: 3_000_000,
      gid: 4_000_000,
    })
    expect(entries.filter(({ path }) => path.endsWith('x'.repeat(255)))).toHaveLength(1)
  })
})
