import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { defaultSettings } from '../net/settings.ts'
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
  'xen-netfront.ko': '',
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

async function loadedModules(rootFilesystem: 'squashfs' | 'erofs', hasNetwork = false): Promise<string[]> {
  const path = await guestInitrd({
    guestInitPath: join(folder, 'init'),
    kernel: { path: '/boot/vmlinuz', modulesFolder: folder },
    rootFilesystem,
    hasNetwork,
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

test('the driver of the network is there for guests that have one, beside an initrd without', async () => {
  await makeKernel(Object.keys(modules))
  expect(await loadedModules('squashfs')).not.toContain('xen_netfront')
  expect(await loadedModules('squashfs', true)).toContain('xen_netfront')
  expect(await loadedModules('squashfs')).not.toContain('xen_netfront')
})

const dns = { servers: [], search: [], options: [] }
const spec = {
  hostname: 'h',
  readOnlyRoot: false,
  process: { argv: ['true'], env: [], groups: [] },
  network: { kind: 'nat', ports: [], guests: true, policy: [], dns },
}
const addresses = { mac: '00:16:3e:00:00:01', ipv4: '10.75.9.9', ipv6: 'fdd4:1476:6c7e::a4b:909' }

async function bundleOf(
  record: object,
  filesystem: 'squashfs' | 'erofs' = 'squashfs',
  hostSearch: readonly string[] = [],
) {
  const whole = { id: '0'.repeat(64), spec, ...record } as unknown as GuestRecord
  const archive = Buffer.from(
    await launchBundle(whole, filesystem, { settings: defaultSettings, hostSearch }),
  ).toString('latin1')
  return JSON.parse(/\{"version".*\}/.exec(archive)?.[0] ?? '')
}

test.each(['squashfs', 'erofs'] as const)('guest-init is told that the root is %s', async (filesystem) => {
  expect(await bundleOf({}, filesystem)).toMatchObject({ root: { filesystem } })
})

test('guest-init is told its addresses, and to ask the gateway for names', async () => {
  expect(await bundleOf({ network: addresses })).toMatchObject({
    network: {
      kind: 'static',
      mac: '00:16:3e:00:00:01',
      mtu: 1500,
      ipv4: { address: '10.75.9.9', gateway: '10.75.0.1' },
      ipv6: { address: 'fdd4:1476:6c7e::a4b:909', gateway: 'fdd4:1476:6c7e::1' },
    },
    dns: { servers: ['10.75.0.1', 'fdd4:1476:6c7e::1'], search: ['guest'], options: [] },
  })
})

test('a guest looks for names among the guests, then where its host does', async () => {
  expect(await bundleOf({ network: addresses }, 'squashfs', ['example.org', 'guest'])).toMatchObject({
    dns: { search: ['guest', 'example.org'] },
  })
})

test('name servers of its own take the place of the gateway', async () => {
  const own = { servers: ['192.0.2.53'], search: ['example.net'], options: ['ndots:2'] }
  const record = { network: addresses, spec: { ...spec, network: { ...spec.network, dns: own } } }
  expect(await bundleOf(record, 'squashfs', ['example.org'])).toMatchObject({ dns: own })
})

test('a guest without a network gets no address and no name server', async () => {
  const bundle = await bundleOf({ spec: { ...spec, network: { ...spec.network, kind: 'none' } } })
  expect(bundle).toMatchObject({ network: { kind: 'none' }, dns: { servers: [] } })
})
