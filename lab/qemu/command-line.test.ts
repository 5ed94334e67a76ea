import { expect, test } from 'vitest'
import { type MachineFiles, type MachineOptions, machineArguments } from './command-line.ts'

const options: MachineOptions = {
  memoryMiB: 3072,
  dom0MemoryMiB: 1536,
  accelerator: { kind: 'tcg', key: 'key', reason: '' },
  xen: '/cache/xen',
  vmlinux: '/cache/vm,linux',
  initramfs: '/cache/initramfs',
  runtimeDisk: '/cache/runtime,disk',
}
const files: MachineFiles = {
  ram: '/labs/ram',
  isRamShared: false,
  coreDisk: '/labs/core',
  stateDisk: '/labs/state',
  isDisposable: false,
  isIncoming: true,
}

test('machineArguments() doubles commas in the names of files', () => {
  const line = machineArguments(options, files)
  expect(line[line.indexOf('-initrd') + 1]).toMatch(/^\/cache\/vm,,linux .*,\/cache\/initramfs$/)
  expect(line.join(' ')).toContain('file=/cache/runtime,,disk,read-only=on')
})

test('machineArguments() differ between a snapshot and its restore in nothing that shapes the machine', () => {
  const saved = machineArguments(options, {
    ...files,
    isRamShared: true,
    isIncoming: false,
    isDisposable: true,
  })
  const restored = machineArguments(options, files)
  const withoutFiles = (line: string[]) =>
    line
      .filter((word) => word !== '-incoming' && word !== 'defer')
      .map((word) => word.replace(/share=(on|off)/, 'share').replace(',cache=unsafe', ''))
  expect(withoutFiles(saved)).toEqual(withoutFiles(restored))
})

test('machineArguments() leave a restored machine its own memory', () => {
  expect(machineArguments(options, files).join(' ')).toContain('mem-path=/labs/ram,share=off')
})
