import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { planModules } from './module-plan.ts'

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bulkhead-modules-'))
})
afterEach(async () => {
  await rm(folder, { recursive: true, force: true })
})

/** Lines of what depmod wrote for Debian's 6.1.192. */
const DEPENDENCIES = `kernel/drivers/xen/xen-gntalloc.ko:
kernel/drivers/xen/xen-evtchn.ko:
kernel/drivers/block/xen-blkfront.ko:
kernel/fs/overlayfs/overlay.ko:
kernel/crypto/crc32c_generic.ko:
kernel/arch/x86/crypto/crc32c-intel.ko:
kernel/lib/crc16.ko:
kernel/fs/mbcache.ko:
kernel/fs/jbd2/jbd2.ko:
kernel/fs/ext4/ext4.ko: kernel/lib/crc16.ko kernel/fs/mbcache.ko kernel/fs/jbd2/jbd2.ko
kernel/net/9p/9pnet_xen.ko.xz: kernel/net/9p/9pnet.ko.xz kernel/fs/fscache/fscache.ko.xz kernel/fs/netfs/netfs.ko.xz
kernel/net/9p/9pnet.ko.xz: kernel/fs/fscache/fscache.ko.xz kernel/fs/netfs/netfs.ko.xz
kernel/fs/fscache/fscache.ko.xz: kernel/fs/netfs/netfs.ko.xz
kernel/fs/netfs/netfs.ko.xz:
`

async function writeFolder(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text)
}

test('planModules() takes either spelling and keeps the order asked for', async () => {
  await writeFolder({ 'modules.dep': DEPENDENCIES })
  const plan = await planModules(folder, ['xen-gntalloc', 'xen_evtchn', 'xen-gntalloc'])
  expect(plan.modules).toEqual([
    { name: 'xen_gntalloc', path: join(folder, 'kernel/drivers/xen/xen-gntalloc.ko') },
    { name: 'xen_evtchn', path: join(folder, 'kernel/drivers/xen/xen-evtchn.ko') },
  ])
})

test('planModules() puts everything a module needs before it', async () => {
  await writeFolder({ 'modules.dep': DEPENDENCIES })
  const { modules } = await planModules(folder, ['9pnet_xen'])
  expect(modules.map((module) => module.name)).toEqual(['netfs', 'fscache', '9pnet', '9pnet_xen'])
})

test('planModules() adds what a module wants loaded first, by module name or alias', async () => {
  await writeFolder({
    'modules.dep': DEPENDENCIES,
    'modules.softdep': '# Soft dependencies\nsoftdep ext4 pre: crc32c\nsoftdep jbd2 post: overlay\n',
    'modules.alias': 'alias crc32c crc32c_generic\nalias crc32c crc32c_intel\nalias pci:v*d* ext4\n',
  })
  const { modules } = await planModules(folder, ['ext4'])
  const names = modules.map((module) => module.name)
  expect(names.slice(0, 2)).toEqual(['crc32c_generic', 'crc32c_intel'])
  expect(names.at(-1)).toBe('ext4')
  expect(names).not.toContain('overlay')
})

test('planModules() ends when soft dependencies go in a circle', async () => {
  await writeFolder({
    'modules.dep': 'a.ko:\nb.ko:\n',
    'modules.softdep': 'softdep a pre: b\nsoftdep b pre: a\n',
  })
  expect((await planModules(folder, ['a'])).modules.map((module) => module.name)).toEqual(['b', 'a'])
})

test('planModules() tells built-in modules from missing ones', async () => {
  await writeFolder({ 'modules.dep': DEPENDENCIES, 'modules.builtin': 'kernel/drivers/tty/hvc/hvc_xen.ko\n' })
  expect(await planModules(folder, ['hvc-xen', 'no-such'])).toEqual({
    modules: [],
    builtIn: ['hvc_xen'],
    missing: ['no_such'],
  })
})

test('planModules() says that a folder has no modules', async () => {
  await expect(planModules(folder, ['overlay'])).rejects.toMatchObject({ code: 'kernel.no-modules' })
})
