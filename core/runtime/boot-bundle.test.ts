import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { guestInitrd, launchBundle } from './boot-bundle.ts'
import type { GuestRecord } from './guest-record.ts'

const ELF = Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0])
/** As depmod writes it for Debian's kernel, shortened: erofs needs a library that needs an algorithm. */
const modules = {
  'xen-evtchn.ko': '',
  'xen-gntalloc.ko': '',
  'xen-blkfront.ko': '',
  'squashfs.ko': '',
  'overlay.ko': '',
  'erofs.ko': 'libcrc32c.ko',
  'libcrc32c.ko': '',
  'crc32c_generic.ko': '',
}

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'boot-bundle-'))
})
afterEach(() => rm(folder, { recursive: true }))

async function makeKernel(names: readonly string[]) {
  const lines = Object.entries(modules).filter(([name]) => names.includes(name))
  await writeFile(join(folder, 'modules.dep'), lines.map(([name, needs]) => `${name}: ${needs}\n`).join(''))
  await writeFile(join(folder, 'modules.softdep'), 'softdep libcrc32c pre: crc32c\n')
  await writeFile(join(folder, 'modules.alias'), 'alias crc32c crc32c_generic\n')
  for (const name of names) await writeFile(join(folder, name), ELF)
  await writeFile(join(folder, 'init'), 'guest-init')
}

async function loadedModules(rootFilesystem: 'squashfs' | 'erofs'): Promise<string[]> {
  const path = await guestInitrd({
    guestInitPath: join(folder, 'init'),
    kernel: { path: '/boot/vmlinuz', modulesFolder: folder },
    rootFilesystem,
    cacheFolder: join(folder, 'initrds'),
  })
  const names = (await readFile(path, 'latin1')).matchAll(/bulkhead\/modules\/\d+-(\w+)\.ko/g)
  return [...names].map(([, name]) => name ?? '')
}

test('the initrd holds the file system of the root, after what it needs, and no other', async () => {
  await makeKernel(Object.keys(modules))
  const always = ['xen_evtchn', 'xen_gntalloc', 'xen_blkfront', 'overlay']
  expect(await loadedModules('squashfs')).toEqual([...always, 'squashfs'])
  expect(await loadedModules('erofs')).toEqual([...always, 'crc32c_generic', 'libcrc32c', 'erofs'])
})

test('a kernel without the file system of the root is refused', async () => {
  await makeKernel(Object.keys(modules).filter((name) => name !== 'erofs.ko'))
  await expect(loadedModules('erofs')).rejects.toMatchObject({
    code: 'guest.no-module',
    message: 'The kernel /boot/vmlinuz lacks what a guest needs: erofs',
  })
  expect(await loadedModules('squashfs')).toContain('squashfs')
})

test.each(['squashfs', 'erofs'] as const)('guest-init is told that the root is %s', async (filesystem) => {
  const process = { argv: ['true'], env: [], cwd: '/', user: '', groups: [], terminal: false, stdin: false }
  const spec = { hostname: 'h', readOnlyRoot: false, process: { ...process, rows: 24, columns: 80 } }
  const bundle = await launchBundle({ id: '0'.repeat(64), spec } as unknown as GuestRecord, filesystem)
  expect(Buffer.from(bundle).toString('latin1')).toContain(`"filesystem":"${filesystem}"`)
})
