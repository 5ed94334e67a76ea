// Root images as the kernel sees them, compared with what umoci unpacks and what tar2sqfs packs.

import { randomBytes } from 'node:crypto'
import { closeSync, openSync, readFileSync, readSync, statSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import {
  directory,
  file,
  hardlink,
  symlink,
  type TarMember,
  tarOf,
} from '../../core/oci/layer/testing/tar-writer.ts'
import { buildFromFiles, type LayerFile } from '../../core/oci/segments/testing/build-from-files.ts'
import { run } from './commands.ts'
import { craftedStack } from './support/crafted-stack.ts'
import { describeTree, differences } from './support/manifest.ts'
import { withMounted } from './support/mounted-image.ts'
import { sha256, writeLayout } from './support/oci-layout.ts'
import { randomStack } from './support/random-stack.ts'

const KIB = 1024
const MIB = 1024 * KIB

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'root-image-'))
})
afterEach(() => rm(folder, { recursive: true }))

/** Builds an image of the layers and describes it as the kernel shows it. */
async function kernelView(layers: readonly LayerFile[]): Promise<Map<string, string>> {
  const output = join(folder, 'image.squashfs')
  await buildFromFiles({ layers, output })
  return await withMounted(output, describeTree)
}

/** Unpacks the image with umoci and describes what it made. */
async function umociView(layout: string): Promise<Map<string, string>> {
  const rootfs = join(folder, 'rootfs')
  await run('umoci', 'raw', 'unpack', '--image', `${layout}:latest`, rootfs)
  const view = describeTree(rootfs)
  await rm(rootfs, { recursive: true })
  return view
}

async function storedLayer(name: string, stored: Buffer, tar: Buffer): Promise<LayerFile> {
  const path = join(folder, name)
  await writeFile(path, stored)
  return { path, digest: sha256(stored), diffId: sha256(tar) }
}

async function plainLayer(members: readonly TarMember[], name = 'layer.tar'): Promise<LayerFile> {
  const tar = tarOf(members)
  return await storedLayer(name, tar, tar)
}

async function expectSameAsUmoci(stack: readonly (readonly TarMember[])[]): Promise<void> {
  const layout = join(folder, 'layout')
  const layers = await writeLayout(layout, stack.map(tarOf))
  expect(differences(await kernelView(layers), await umociView(layout))).toEqual([])
}

describe('compared with umoci', () => {
  test('a stack with every kind of entry is the same', async () => {
    await expectSameAsUmoci(craftedStack)
  })

  test.each(Array.from({ length: 20 }, (_, seed) => seed))('random stack %i is the same', async (seed) => {
    await expectSameAsUmoci(randomStack(seed))
  })

  test('real files of this machine, changed by a second layer, are the same', async () => {
    const tar = join(folder, 'real.tar')
    const folders = ['etc', 'usr/sbin', 'usr/share/perl']
    const present = folders.filter((path) => statSync(`/${path}`, { throwIfNoEntry: false }) !== undefined)
    await run('tar', '-C', '/', '-cf', tar, '--xattrs', '--numeric-owner', '--exclude=etc/mtab', ...present)
    const top = tarOf([file('etc/.wh.passwd'), directory('etc/new'), file('etc/hostname', 'guest\n')])
    const layout = join(folder, 'layout')
    const layers = await writeLayout(layout, [readFileSync(tar), top])
    const ours = await kernelView(layers)
    expect(ours.size).toBeGreaterThan(500)
    const umoci = await umociView(layout)
    // umoci makes the missing "usr" and the root itself with the time of now.
    for (const path of ['.', './usr', './usr/share', './usr/lib', './etc']) {
      ours.delete(path)
      umoci.delete(path)
    }
    expect(differences(ours, umoci)).toEqual([])
  })
})

describe('compared with tar2sqfs', () => {
  test('a Debian tree is the same in everything but the link counts of directories', async () => {
    const tar = join(folder, 'debian.tar')
    await run(
      'tar',
      '-C',
      '/',
      '-cf',
      tar,
      '--numeric-owner',
      'etc',
      'usr/bin/perl',
      'usr/lib/python3',
      'usr/share/zoneinfo',
    )
    const oracle = join(folder, 'oracle.squashfs')
    await run('sh', '-c', `tar2sqfs --quiet --force --compressor zstd "${oracle}" < "${tar}"`)
    const content = readFileSync(tar)
    const ours = await kernelView([{ path: tar, digest: sha256(content), diffId: sha256(content) }])
    const theirs = await withMounted(oracle, describeTree)
    const withoutDirectoryLinks = (view: Map<string, string>) =>
      new Map(
        [...view].map(([path, line]) => [path, /^40/.test(line) ? line.replace(/links=\d+/, '') : line]),
      )
    expect(differences(withoutDirectoryLinks(ours), withoutDirectoryLinks(theirs))).toEqual([])
  })
})

describe('large things', () => {
  test('a directory of 12 000 files is listed, and every file is found by its name', async () => {
    const names = Array.from(
      { length: 12_000 },
      (_, index) => `file-${(index * 7919) % 12_000}-${'x'.repeat(index % 60)}`,
    )
    const layer = await plainLayer([directory('many'), ...names.map((name) => file(`many/${name}`))])
    const output = join(folder, 'image.squashfs')
    await buildFromFiles({ layers: [layer], output })
    await withMounted(output, async (root) => {
      expect((await readdir(join(root, 'many'))).toSorted()).toEqual(names.toSorted())
      for (const name of names) statSync(join(root, 'many', name))
      expect(statSync(join(root, 'many/file-12000'), { throwIfNoEntry: false })).toBeUndefined()
    })
  })

  test('a sparse file of 6 GiB keeps its size and its few bytes', async () => {
    const sizeBytes = 6 * 1024 * MIB
    const offset = 5 * 1024 * MIB + 12_345
    const pax = { 'GNU.sparse.map': `${offset},4,${sizeBytes - 3},3`, 'GNU.sparse.size': String(sizeBytes) }
    const layer = await plainLayer([
      file('huge', 'dataend', { pax: { ...pax, 'GNU.sparse.name': 'huge' } }),
      file('next', 'x'),
    ])
    const output = join(folder, 'image.squashfs')
    const built = await buildFromFiles({ layers: [layer], output })
    expect(built.sizeBytes).toBeLessThan(64 * KIB)
    await withMounted(output, async (root) => {
      const path = join(root, 'huge')
      expect(statSync(path)).toMatchObject({
        size: sizeBytes,
        blocks: expect.toSatisfy((blocks) => blocks < 1024),
      })
      expect(bytesAt(path, offset - 2, 8)).toBe('\0\0data\0\0')
      expect(bytesAt(path, sizeBytes - 5, 5)).toBe('\0\0end')
      expect(await readFile(join(root, 'next'), 'latin1')).toBe('x')
    })
  })

  test('65 535 owners fit into an image, more are refused in a sentence', async () => {
    const owned = (count: number) =>
      Array.from({ length: count }, (_, uid) => file(`f${uid}`, '', { uid, gid: 0 }))
    const output = join(folder, 'image.squashfs')
    await buildFromFiles({ layers: [await plainLayer(owned(65_535))], output })
    await withMounted(output, (root) => expect(statSync(join(root, 'f65534')).uid).toBe(65_534))
    const layers = [await plainLayer(owned(65_536))]
    const building = buildFromFiles({ layers, output: join(folder, 'other.squashfs') })
    await expect(building).rejects.toMatchObject({
      code: 'oci.limit',
      message: expect.stringContaining('65535 users'),
    })
  })

  test('times before 1970 and after 2106 become the nearest that squashfs can hold', async () => {
    const view = await kernelView([
      await plainLayer([file('old', '', { mtime: -5 }), file('new', '', { mtime: 6e9 })]),
    ])
    expect(view.get('./old')).toContain('time=0')
    expect(view.get('./new')).toContain('time=4294967295')
  })
})

describe('the bytes of an image', () => {
  const members = craftedStack.flat().filter(({ path }) => !path.includes('.wh.'))

  test('depend on the content alone, not on compression, place or time', async () => {
    const tar = tarOf(members)
    const layers = [
      await storedLayer('one', tar, tar),
      await storedLayer('two', gzipSync(tar), tar),
      await storedLayer('three', zstdCompressSync(tar), tar),
    ]
    const images: Buffer[] = []
    for (const [index, layer] of layers.entries()) {
      const output = join(folder, `image-${index}`)
      await buildFromFiles({ layers: [layer], output })
      images.push(await readFile(output))
    }
    expect(images.map((image) => image.equals(images[0] as Buffer))).toEqual([true, true, true])
  })

  test('hold equal files once', async () => {
    const content = randomBytes(700 * KIB)
    const sizeOf = async (copies: TarMember[]) => {
      const output = join(folder, 'image')
      const { sizeBytes } = await buildFromFiles({ layers: [await plainLayer(copies)], output })
      const view = await withMounted(output, describeTree)
      const contents = [...view].filter(([path]) => path.startsWith('./copy')).map(([, line]) => line)
      expect(new Set(contents).size).toBe(1)
      return sizeBytes
    }
    const one = await sizeOf([file('copy', content)])
    const copies = Array.from({ length: 5 }, (_, index) => file(`copy${index}`, content))
    const between = randomBytes(130 * KIB)
    const five = await sizeOf(
      copies.flatMap((copy, index) => [copy, file(`other${index}`, between.subarray(index))]),
    )
    expect(five - one).toBeLessThan(5 * 132 * KIB + 20 * KIB)
  })

  test('leave out what upper layers hide', async () => {
    const hidden = await plainLayer(
      [directory('d'), file('d/a', randomBytes(2 * MIB)), file('b', randomBytes(2 * MIB))],
      'lower',
    )
    const upper = await plainLayer([file('d/.wh.a'), file('b', 'small')], 'upper')
    const { sizeBytes } = await buildFromFiles({ layers: [hidden, upper], output: join(folder, 'image') })
    expect(sizeBytes).toBeLessThan(16 * KIB)
  })

  test('hold contents whose name is replaced above but which live on under another one', async () => {
    const lower = await plainLayer([file('old', 'kept content')], 'lower')
    const middle = await plainLayer([symlink('way', '/'), hardlink('new', 'way/old')], 'middle')
    const upper = await plainLayer([file('old', 'something else')], 'upper')
    const output = join(folder, 'image')
    await buildFromFiles({ layers: [lower, middle, upper], output })
    await withMounted(output, async (root) => {
      expect(await readFile(join(root, 'new'), 'latin1')).toBe('kept content')
      expect(await readFile(join(root, 'old'), 'latin1')).toBe('something else')
    })
  })

  test('satisfy unsquashfs and rdsquashfs too', async () => {
    const output = join(folder, 'image')
    await buildFromFiles({ layers: [await plainLayer(members)], output })
    await run('unsquashfs', '-no-progress', '-quiet', '-dest', join(folder, 'unpacked'), output)
    expect(await run('rdsquashfs', '--describe', output)).toContain('bin/tool')
    const unpacked = describeTree(join(folder, 'unpacked'))
    expect(differences(await withMounted(output, describeTree), unpacked)).toEqual([])
  })
})

describe('a build that fails leaves nothing behind:', () => {
  const expectEmpty = async (path: string) => expect(await readdir(path)).toEqual([])

  test('a disk that is full', async () => {
    const layer = await plainLayer([file('f', randomBytes(6 * MIB))])
    const disk = join(folder, 'disk')
    await mkdir(disk)
    await run('mount', '-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', disk)
    try {
      const building = buildFromFiles({ layers: [layer], output: join(disk, 'image') })
      await expect(building).rejects.toMatchObject({
        code: 'oci.no-space',
        message: 'Cannot build the root image: the disk is full',
      })
      await expectEmpty(disk)
    } finally {
      await run('umount', disk)
    }
  })
})

function bytesAt(path: string, position: number, length: number): string {
  const descriptor = openSync(path, 'r')
  try {
    const bytes = Buffer.alloc(length)
    readSync(descriptor, bytes, 0, length, position)
    return bytes.toString('latin1')
  } finally {
    closeSync(descriptor)
  }
}
