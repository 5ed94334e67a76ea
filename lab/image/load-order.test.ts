import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { loadOrder } from './load-order.ts'

const folder = mkdtempSync(join(tmpdir(), 'bulkhead-modules-'))
afterAll(() => rmSync(folder, { recursive: true }))
writeFileSync(
  join(folder, 'modules.dep'),
  [
    'kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko kernel/fs/mbcache.ko',
    'kernel/fs/jbd2/jbd2.ko: kernel/lib/crc16.ko.xz',
    'kernel/fs/mbcache.ko:',
    'kernel/lib/crc16.ko.xz:',
    'kernel/drivers/net/xen-netback/xen-netback.ko:',
    '',
  ].join('\n'),
)
writeFileSync(join(folder, 'modules.builtin'), 'kernel/drivers/tty/hvc/hvc_xen.ko\n')

test('loadOrder() puts each module after all that it needs, once', () => {
  expect(loadOrder(folder, ['ext4', 'jbd2'])).toEqual([
    'kernel/lib/crc16.ko.xz',
    'kernel/fs/jbd2/jbd2.ko',
    'kernel/fs/mbcache.ko',
    'kernel/fs/ext4/ext4.ko',
  ])
})

test('loadOrder() takes dashes and underscores for the same and leaves out what is built in', () => {
  expect(loadOrder(folder, ['xen_netback', 'hvc_xen'])).toEqual([
    'kernel/drivers/net/xen-netback/xen-netback.ko',
  ])
})

test('loadOrder() names a module that the kernel does not have', () => {
  expect(() => loadOrder(folder, ['floppy'])).toThrow('the kernel has no module floppy')
})
