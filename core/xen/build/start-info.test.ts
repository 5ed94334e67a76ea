import { expect, test } from 'vitest'
import { checkSpec, type DomainSpec } from './build-spec.ts'
import { FrameList } from './frame-list.ts'
import { layOutPvDomain } from './layout.ts'
import { writeSharedInfo, writeStartInfo } from './start-info.ts'

const VIRTUAL_BASE = 0xffffffff80000000n

function startInfoFor(options: {
  canLeaveInitrdUnmapped: boolean
  initialP2m?: bigint
  initrdBytes?: number
}) {
  const initrdBytes = options.initrdBytes ?? 5000
  const layout = layOutPvDomain({
    virtualBase: VIRTUAL_BASE,
    kernelStart: 0x1000000,
    kernelEnd: 0x2000000,
    initialP2m: options.initialP2m,
    canLeaveInitrdUnmapped: options.canLeaveInitrdUnmapped,
    initrdBytes,
    totalPages: 65536,
  })
  const frames = new FrameList(65536)
  frames.setFrames(
    0,
    BigUint64Array.from({ length: 65536 }, (_, page) => BigInt(page + 0x10000)),
  )
  const page = writeStartInfo({
    layout,
    frames,
    virtualBase: VIRTUAL_BASE,
    totalPages: 65536,
    sharedInfoFrame: 0x777,
    storePort: 1,
    consolePort: 2,
    initrdBytes,
    commandLine: 'console=hvc0 ä',
  })
  return { layout, page, view: new DataView(page.buffer) }
}

// Offsets: sizeof and offsetof of struct start_info of Xen 4.17.
test('writeStartInfo() tells the kernel its memory, rings, tables and command line', () => {
  const { layout, page, view } = startInfoFor({ canLeaveInitrdUnmapped: true, initialP2m: 0x8000000000n })
  const u64 = (offset: number) => view.getBigUint64(offset, true)
  expect(Buffer.from(page.subarray(0, 15)).toString('latin1')).toBe('xen-3.0-x86_64\0')
  expect([u64(32), u64(40)]).toEqual([65536n, 0x777000n])
  expect([u64(56), view.getUint32(64, true)]).toEqual([BigInt(layout.xenstorePage + 0x10000), 1])
  expect([u64(72), view.getUint32(80, true)]).toEqual([BigInt(layout.consolePage + 0x10000), 2])
  expect([u64(88), u64(96)]).toEqual([
    VIRTUAL_BASE + BigInt(layout.pageTables.firstPage * 4096),
    BigInt(layout.pageTables.pages),
  ])
  expect(u64(104)).toBe(0x8000000000n)
  expect([u64(1152), u64(1160)]).toEqual([BigInt(layout.frameList.firstPage), 131n])
  expect(Buffer.from(page.subarray(128, 128 + 16)).toString()).toBe('console=hvc0 ä\0')
})

test('writeStartInfo() names an unmapped initrd by page and a mapped one by address', () => {
  const unmapped = startInfoFor({ canLeaveInitrdUnmapped: true })
  expect(unmapped.view.getUint32(48, true)).toBe(8)
  expect(unmapped.view.getBigUint64(112, true)).toBe(BigInt(unmapped.layout.initrd?.firstPage ?? -1))
  expect(unmapped.view.getBigUint64(120, true)).toBe(5000n)
  const mapped = startInfoFor({ canLeaveInitrdUnmapped: false })
  expect(mapped.view.getUint32(48, true)).toBe(0)
  expect(mapped.view.getBigUint64(112, true)).toBe(
    VIRTUAL_BASE + BigInt((mapped.layout.initrd?.firstPage ?? -1) * 4096),
  )
})

test('writeStartInfo() names no initrd where there is none', () => {
  const { view } = startInfoFor({ canLeaveInitrdUnmapped: true, initrdBytes: 0 })
  expect([view.getUint32(48, true), view.getBigUint64(112, true), view.getBigUint64(120, true)]).toEqual([
    0,
    0n,
    0n,
  ])
})

test('writeSharedInfo() masks the upcalls of all 32 vCPUs and nothing else', () => {
  const page = writeSharedInfo()
  const set = [...page.entries()].filter(([, byte]) => byte !== 0)
  expect(set).toEqual(Array.from({ length: 32 }, (_, vcpu) => [vcpu * 64 + 1, 1]))
})

test('checkSpec() refuses what no domain can have', () => {
  const spec: DomainSpec = {
    uuid: '01234567-89ab-cdef-0123-456789abcdef',
    memoryMiB: 256,
    vcpus: 1,
    kernelPath: '/kernel',
    kernelCacheDir: '/cache',
    initrd: [],
    commandLine: 'x'.repeat(1023),
  }
  expect(() => checkSpec(spec)).not.toThrow()
  const refused = (change: Partial<DomainSpec>) => expect(() => checkSpec({ ...spec, ...change }))
  refused({ commandLine: 'ä'.repeat(512) }).toThrow(
    'the kernel command line has 1024 bytes, the limit is 1023',
  )
  refused({ commandLine: 'a\0b' }).toThrow('contains a NUL')
  refused({ vcpus: 0 }).toThrow('0 vCPUs are not possible')
  refused({ memoryMiB: 1.5 }).toThrow('1.5 MiB of memory are not possible')
  refused({ maxMemoryMiB: 128 }).toThrow('its memory of 256 MiB is more than its maximum of 128 MiB')
  refused({ uuid: 'X' }).toThrow('"X" is not a UUID in lower case')
})
