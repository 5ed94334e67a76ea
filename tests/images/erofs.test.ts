// EROFS root images as the kernel sees them, compared with what umoci unpacks, and what Debian's erofs-utils say of them.

import { randomBytes } from 'node:crypto'
import { closeSync, openSync, readFileSync, readSync, statSync } from 'node:fs'
import { mkdtemp, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
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
import { EROFS } from '../../core/oci/writers/erofs/erofs-format.ts'
import { run } from './commands.ts'
import { craftedStack } from './support/crafted-stack.ts'
import { describeTree, differences } from './support/manifest.ts'
import { withMounted } from './support/mounted-image.ts'
import { sha256, writeLayout } from './support/oci-layout.ts'
import { randomStack } from './support/random-stack.ts'

const KIB = 1024
const MIB = 1024 * KIB
const BLOCK = 4096

let folder = ''
let image = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'erofs-'))
  image = join(folder, 'image.erofs')
})
afterEach(() => rm(folder, { recursive: true }))

async function build(layers: readonly LayerFile[], output = image) {
  return await buildFromFiles({ layers, output, format: EROFS })
}

async function buildOf(...stack: readonly (readonly TarMember[])[]) {
  return await build(await Promise.all(stack.map((members, index) => layerOf(members, `layer-${index}`))))
}

async function layerOf(members: readonly TarMember[], name = 'layer'): Promise<LayerFile> {
  const tar = tarOf(members)
  const path = join(folder, name)
  await writeFile(path, tar)
  return { path, digest: sha256(tar), diffId: sha256(tar) }
}

function mounted<Result>(use: (root: string) => Promise<Result> | Result): Promise<Result> {
  return withMounted(image, use, 'erofs')
}

async function kernelView(...stack: readonly (readonly TarMember[])[]): Promise<Map<string, string>> {
  await buildOf(...stack)
  return await mounted(describeTree)
}

async function expectSameAsUmoci(stack: readonly (readonly TarMember[])[]): Promise<void> {
  const layout = join(folder, 'layout')
  await build(await writeLayout(layout, stack.map(tarOf)))
  const rootfs = join(folder, 'rootfs')
  await run('umoci', 'raw', 'unpack', '--image', `${layout}:latest`, rootfs)
  expect(differences(await mounted(describeTree), describeTree(rootfs))).toEqual([])
  await run('fsck.erofs', image)
}

describe('compared with umoci', () => {
  test('a stack with every kind of entry is the same', async () => {
    await expectSameAsUmoci(craftedStack)
  })

  test.each(Array.from({ length: 12 }, (_, seed) => seed))('random stack %i is the same', async (seed) => {
    await expectSameAsUmoci(randomStack(1000 + seed))
  })

  test('real files of this machine are the same', async () => {
    const tar = join(folder, 'real.tar')
    const folders = ['etc', 'usr/sbin', 'usr/share/zoneinfo', 'usr/share/perl']
    const present = folders.filter((path) => statSync(`/${path}`, { throwIfNoEntry: false }) !== undefined)
    await run('tar', '-C', '/', '-cf', tar, '--xattrs', '--numeric-owner', '--exclude=etc/mtab', ...present)
    const content = readFileSync(tar)
    await build([{ path: tar, digest: sha256(content), diffId: sha256(content) }])
    await run('mkdir', join(folder, 'rootfs'))
    await run(
      'tar',
      '-C',
      join(folder, 'rootfs'),
      '-xpf',
      tar,
      '--xattrs',
      '--xattrs-include=*',
      '--numeric-owner',
    )
    const ours = await mounted(describeTree)
    expect(ours.size).toBeGreaterThan(1000)
    const theirs = describeTree(join(folder, 'rootfs'))
    // The tar does not hold them.
    for (const path of ['.', './usr', './usr/lib', './usr/share']) {
      ours.delete(path)
      theirs.delete(path)
    }
    expect(differences(ours, theirs)).toEqual([])
    await run('fsck.erofs', image)
  })
})

describe('large things', () => {
  test('a directory of 12 000 files is listed, and every file is found by its name', async () => {
    const names = Array.from(
      { length: 12_000 },
      (_, index) => `file-${(index * 7919) % 12_000}-${'x'.repeat(index % 60)}`,
    )
    await buildOf([directory('many'), ...names.map((name) => file(`many/${name}`))])
    await mounted(async (root) => {
      expect((await readdir(join(root, 'many'))).toSorted()).toEqual(names.toSorted())
      for (const name of names) statSync(join(root, 'many', name))
      expect(statSync(join(root, 'many/file-12000'), { throwIfNoEntry: false })).toBeUndefined()
    })
  })

  test('directories are read whose last block is full, nearly full, or just begun', async () => {
    // 11 bytes of name and 12 of entry: 178 fill a block but for two bytes; "." and ".." take three names' worth more.
    const counts = Array.from({ length: 24 }, (_, index) => (index % 2) * 178 + 165 + index)
    const namesOf = (count: number) =>
      Array.from({ length: count }, (_, index) => `${index}`.padStart(11, count % 3 === 0 ? '!' : '-'))
    await buildOf(
      counts.flatMap((count) => [
        directory(`d${count}`, { mtime: count }),
        ...namesOf(count).map((name) => file(`d${count}/${name}`)),
      ]),
    )
    await mounted(async (root) => {
      for (const count of counts) {
        const path = join(root, `d${count}`)
        expect((await readdir(path)).toSorted()).toEqual(namesOf(count).toSorted())
        for (const name of namesOf(count)) statSync(join(path, name))
      }
    })
  })

  test('a sparse file of 6 GiB keeps its size and its few bytes, and takes little room', async () => {
    const sizeBytes = 6 * 1024 * MIB + 77
    const offset = 5 * 1024 * MIB + 12_345
    const pax = { 'GNU.sparse.map': `${offset},4,${sizeBytes - 3},3`, 'GNU.sparse.size': String(sizeBytes) }
    const built = await buildOf([
      file('huge', 'dataend', { pax: { ...pax, 'GNU.sparse.name': 'huge' } }),
      file('next', 'x'),
    ])
    expect(built.sizeBytes).toBeLessThan(MIB)
    await mounted(async (root) => {
      const path = join(root, 'huge')
      expect(statSync(path).size).toBe(sizeBytes)
      expect(bytesAt(path, 0, 8)).toBe('\0'.repeat(8))
      expect(bytesAt(path, offset - 2, 8)).toBe('\0\0data\0\0')
      expect(bytesAt(path, sizeBytes - 5, 5)).toBe('\0\0end')
      expect(await readFile(join(root, 'next'), 'latin1')).toBe('x')
    })
    await run('fsck.erofs', image)
  })

  test('a file of more than 4 GiB that is all zeros takes no room', async () => {
    const sizeBytes = 5 * 1024 * MIB
    const pax = { 'GNU.sparse.map': '', 'GNU.sparse.size': String(sizeBytes), 'GNU.sparse.name': 'zeros' }
    const built = await buildOf([file('zeros', '', { pax }), hardlink('again', 'zeros')])
    expect(built).toMatchObject({ sizeBytes: 2 * BLOCK, uncompressedBytes: sizeBytes })
    await mounted((root) => {
      expect(statSync(join(root, 'again'))).toMatchObject({ size: sizeBytes, nlink: 2 })
      expect(bytesAt(join(root, 'zeros'), sizeBytes - 3, 8)).toBe('\0\0\0')
    })
  })

  test('holes of all sizes and places are read as they were', async () => {
    const data = (size: number) => randomBytes(size)
    const shapes = [1, 15, 16, 17, 33, 100].flatMap((blocks) => [
      [Buffer.alloc(blocks * BLOCK), data(1)],
      [data(BLOCK), Buffer.alloc(blocks * BLOCK + 5), data(7), Buffer.alloc(blocks * BLOCK)],
      [data(3 * BLOCK - 1), Buffer.alloc(blocks * BLOCK), data(3000)],
      [
        data(70_000),
        Buffer.alloc(10 * blocks * BLOCK),
        data(100),
        Buffer.alloc(blocks * BLOCK),
        data(9 * BLOCK),
      ],
      [Buffer.alloc(blocks * BLOCK + 1)],
    ])
    const contents = shapes.map((pieces) => Buffer.concat(pieces))
    await buildOf(contents.map((content, index) => file(`f${index}`, content)))
    await mounted(async (root) => {
      for (const [index, content] of contents.entries())
        expect((await readFile(join(root, `f${index}`))).equals(content), `shape ${index}`).toBe(true)
    })
    await run('fsck.erofs', image)
  })

  test('file sizes around every border are read as they were', async () => {
    const around = (size: number) => [size - 1, size, size + 1]
    const sizes = [...around(1024), ...around(2048), ...around(4032), ...around(4064), ...around(BLOCK)]
    const all = [1, ...sizes, ...sizes.map((size) => size + BLOCK), ...around(MIB), ...around(3 * MIB + 2048)]
    const contents = all.map((size) => randomBytes(size))
    await buildOf(
      contents.map((content, index) => file(`f${index}`, content, { uid: index % 2 ? 70_000 : 1 })),
    )
    await mounted(async (root) => {
      for (const [index, content] of contents.entries())
        expect((await readFile(join(root, `f${index}`))).equals(content), `${all[index]} bytes`).toBe(true)
    })
  })
})

describe('attributes', () => {
  const acl = (...entries: readonly (readonly [tag: number, permissions: number, id: number])[]) => {
    const bytes = Buffer.alloc(4 + 8 * entries.length)
    bytes.writeUInt32LE(2)
    for (const [index, [tag, permissions, id]] of entries.entries()) {
      bytes.writeUInt16LE(tag, 4 + 8 * index)
      bytes.writeUInt16LE(permissions, 6 + 8 * index)
      bytes.writeUInt32LE(id, 8 + 8 * index)
    }
    return bytes
  }
  const NO_ID = 0xffff_ffff
  const userList = acl([1, 7, NO_ID], [2, 6, 1000], [4, 5, NO_ID], [16, 7, NO_ID], [32, 0, NO_ID])

  test('extended attributes of every namespace that Linux knows are there', async () => {
    const xattrs = {
      'user.text': 'value',
      'trusted.binary': Buffer.from([0, 1, 255]),
      'security.capability': Buffer.from('0100000200200000000000000000000000000000', 'hex'),
      'system.posix_acl_access': userList,
    }
    const stack = [
      file('f', 'x', { mode: 0o770, xattrs }),
      directory('d', { mode: 0o770, xattrs: { ...xattrs, 'system.posix_acl_default': userList } }),
      symlink('l', 'f', { xattrs: { 'trusted.on-link': 'v' } }),
      { path: 'fifo', flag: '6', xattrs: { 'security.on-fifo': 'v', 'trusted.x': 'y' } },
    ]
    await expectSameAsUmoci([[directory('./', { mtime: 1 }), ...stack]])
    const view = await mounted(describeTree)
    for (const name of ['user.text', 'trusted.binary', 'security.capability', 'system.posix_acl_access'])
      expect(view.get('./f')).toContain(name)
    expect(view.get('./d')).toContain('system.posix_acl_default')
    const readAs = (uid: number) => (root: string) =>
      run('setpriv', '--reuid', `${uid}`, '--regid', '1', '--clear-groups', 'cat', join(root, 'f'))
    expect(await mounted(readAs(1000))).toBe('x')
    await expect(mounted(readAs(1001))).rejects.toThrow(/Permission denied/)
  })

  test('lists of rights that Linux would refuse, and attributes without a place, are left out', async () => {
    const view = await kernelView([
      file('f', 'x', {
        xattrs: { 'system.posix_acl_access': 'nonsense', 'user.empty': '', 'other.name': 'x' },
      }),
      file('g', 'x', { xattrs: { 'system.posix_acl_default': userList } }),
      symlink('l', 'f', { xattrs: { 'system.posix_acl_access': userList } }),
    ])
    expect(view.get('./f')).toMatch(/[0-9a-f]{64} user\.empty=0x$/)
    expect(view.get('./g')).not.toContain('posix')
    expect(view.get('./l')).not.toContain('posix')
  })

  test('what many inodes have is stored once', async () => {
    const value = randomBytes(900)
    const many = Array.from({ length: 200 }, (_, index) =>
      file(`f${index}`, '', { xattrs: { 'user.same': value, 'user.own': String(index) } }),
    )
    const { sizeBytes } = await buildOf(many)
    expect(sizeBytes).toBeLessThan(64 * KIB)
    const view = await mounted(describeTree)
    for (let index = 0; index < 200; index++) {
      expect(view.get(`./f${index}`)).toContain(`user.same=0x${value.toString('hex')}`)
      expect(view.get(`./f${index}`)).toContain(`user.own=0x${Buffer.from(String(index)).toString('hex')}`)
    }
  })

  test('large attributes, many of them, and long link targets beside them are kept', async () => {
    const large = { 'user.large': randomBytes(60_000), 'trusted.also': randomBytes(5000) }
    const many = Object.fromEntries(
      Array.from({ length: 300 }, (_, index) => [`user.${'n'.repeat(200)}${index}`, randomBytes(100)]),
    )
    const members = [
      file('large', 'content', { xattrs: large }),
      file('large-too', 'content', { xattrs: large }),
      file('many', randomBytes(100), { xattrs: many }),
      directory('d', { xattrs: many }),
      file('d/f', 'x'),
      symlink('long', 'x'.repeat(4095), { xattrs: { 'trusted.t': randomBytes(60) } }),
      symlink('longest-inline', 'x'.repeat(4032)),
      symlink('own-block', 'x'.repeat(4033)),
    ]
    const view = await kernelView(members)
    for (const [name, value] of Object.entries(large))
      expect(view.get('./large-too')).toContain(`${name}=0x${value.toString('hex')}`)
    for (const [name, value] of Object.entries(many)) {
      expect(view.get('./many')).toContain(`${name}=0x${value.toString('hex')}`)
      expect(view.get('./d')).toContain(`${name}=0x${value.toString('hex')}`)
    }
    for (const [name, length] of [
      ['long', 4095] as const,
      ['longest-inline', 4032] as const,
      ['own-block', 4033] as const,
    ])
      expect(view.get(`./${name}`)).toContain(`link ${'x'.repeat(length)} `)
  })

  test('an attribute of 64 KiB is one byte too large, and the error says so', async () => {
    const building = buildOf([file('f', '', { xattrs: { 'user.x': Buffer.alloc(65_536, 1) } })])
    await expect(building).rejects.toMatchObject({
      code: 'oci.limit',
      message:
        'Cannot write the image: the extended attribute "user.x" takes 65536 bytes, and EROFS holds 65535',
      data: { which: 'xattrBytes' },
    })
  })

  test('times before 1970 and after 2106, owners and devices of all sizes are kept', async () => {
    const view = await kernelView([
      file('old', '', { mtime: -5 }),
      file('new', '', { mtime: 6e9 }),
      file('owner', '', { uid: 4_000_000_000, gid: 65_536 }),
      { path: 'device', flag: '4', major: 4095, minor: 1_048_575 },
      { path: 'null', flag: '3', major: 1, minor: 3, mode: 0o666 },
    ])
    expect(view.get('./old')).toContain('time=-5 ')
    expect(view.get('./new')).toContain('time=6000000000 ')
    expect(view.get('./owner')).toContain('4000000000:65536 ')
    // glibc's makedev, as stat shows it.
    const device = ((4095n & ~0xfffn) << 32n) | (4095n << 8n) | ((1_048_575n & ~0xffn) << 12n) | 0xffn
    expect(view.get('./device')).toContain(`device ${device} `)
    expect(view.get('./null')).toContain('20666 0:0 links=1 time=0 device 259 ')
  })

  test('more than 65 535 links are kept', async () => {
    const links = Array.from({ length: 65_600 }, (_, index) => hardlink(`l${index}`, 'f'))
    await buildOf([file('f', 'x'), ...links])
    expect(await mounted((root) => statSync(join(root, 'l65599')).nlink)).toBe(65_601)
  })
})

describe('the bytes of an image', () => {
  const members = craftedStack.flat().filter(({ path }) => !path.includes('.wh.'))

  test('depend on the content alone, not on compression, place or time', async () => {
    const tar = tarOf(members)
    const images: Buffer[] = []
    for (const [index, stored] of [tar, gzipSync(tar), gzipSync(tar, { level: 1 })].entries()) {
      const path = join(folder, `layer-${index}`)
      await writeFile(path, stored)
      await build([{ path, digest: sha256(stored), diffId: sha256(tar) }])
      images.push(await readFile(image))
    }
    expect(images.map((bytes) => bytes.equals(images[0] as Buffer))).toEqual([true, true, true])
  })

  test('hold equal files once, within a layer and across layers', async () => {
    const content = randomBytes(700 * KIB + 100)
    const other = randomBytes(50 * KIB)
    const { sizeBytes } = await buildOf(
      [file('a', content), file('b', other), file('c', content), file('hidden', randomBytes(300 * KIB))],
      [file('d', content), file('e', other), file('.wh.hidden')],
    )
    expect(sizeBytes).toBeLessThan(content.length + other.length + 20 * KIB)
    await mounted(async (root) => {
      for (const name of ['a', 'c', 'd'])
        expect((await readFile(join(root, name))).equals(content)).toBe(true)
      for (const name of ['b', 'e']) expect((await readFile(join(root, name))).equals(other)).toBe(true)
    })
  })

  test('hold small files beside their inodes', async () => {
    const count = 1000
    const { sizeBytes } = await buildOf(
      Array.from({ length: count }, (_, index) => file(`f${index}`, randomBytes(900), { mtime: index })),
    )
    expect(sizeBytes).toBeLessThan(count * 1100)
  })

  test('are what dump.erofs reads', async () => {
    const { entries } = await buildOf(members)
    const text = await run('dump.erofs', '-s', image)
    expect(text).toMatch(/magic number: +0xE0F5E1E2/)
    expect(text).toMatch(new RegExp(`inode count: +${entries}\\n`))
    expect(text).toMatch(/features: +sb_csum mtime/)
    expect(await run('dump.erofs', '--path=/d/large', image)).toMatch(/Size: 3145728 /)
  })

  test('are checked: a changed superblock, a short file and a lost root are noticed', async () => {
    const { sizeBytes } = await buildOf(members)
    await using file = await open(image, 'r+')
    await EROFS.check(file, sizeBytes)
    const head = Buffer.alloc(BLOCK)
    await file.read(head, 0, BLOCK, 0)
    const damaged = Buffer.from(head)
    damaged.writeUInt8(damaged.readUInt8(1100) ^ 1, 1100)
    await file.write(damaged, 0, BLOCK, 0)
    await expect(EROFS.check(file, sizeBytes)).rejects.toMatchObject({
      code: 'oci.internal',
      message: 'Cannot use the image just written: the checksum of its superblock is wrong',
    })
    await file.write(head, 0, BLOCK, 0)
    const metadataStart = head.readUInt32LE(1024 + 40) * BLOCK
    await file.write(Buffer.alloc(64), 0, 64, metadataStart + head.readUInt16LE(1024 + 14) * 32)
    await expect(EROFS.check(file, sizeBytes)).rejects.toMatchObject({
      message: /its root is not a directory/,
    })
    await file.truncate(sizeBytes - BLOCK)
    await expect(EROFS.check(file, sizeBytes)).rejects.toMatchObject({ message: /its size is not what/ })
  })

  test('are spared by an image that is cancelled: nothing is left behind', async () => {
    const layer = await layerOf([file('f', randomBytes(6 * MIB))])
    const controller = new AbortController()
    const building = buildFromFiles({
      layers: [layer],
      output: image,
      format: EROFS,
      signal: controller.signal,
      onProgress: ({ phase }) => {
        if (phase === 'write') controller.abort()
      },
    })
    await expect(building).rejects.toMatchObject({ code: 'oci.cancelled' })
    expect(await readdir(folder)).toEqual(['layer'])
  })
})

test('holes of an image take no room on the disk', async () => {
  await buildOf([
    file('f', Buffer.concat([randomBytes(BLOCK), Buffer.alloc(30 * BLOCK), randomBytes(BLOCK)])),
  ])
  const { size, blocks } = await stat(image)
  expect(blocks * 512).toBeLessThanOrEqual(size)
})

function bytesAt(path: string, position: number, length: number): string {
  const descriptor = openSync(path, 'r')
  try {
    const bytes = Buffer.alloc(length)
    const read = readSync(descriptor, bytes, 0, length, position)
    return bytes.toString('latin1', 0, read)
  } finally {
    closeSync(descriptor)
  }
}
