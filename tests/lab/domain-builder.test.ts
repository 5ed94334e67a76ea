// The PV builder against the real hypervisor: what it builds boots, and what it does not build leaves
// nothing.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DomainSpec } from '../../core/xen/build/domain-builder.ts'
import { makeInitrd } from '../../core/xen/kernel/initrd.ts'
import { type Lab, startLab } from '../../lab/fixture.ts'
import type { BuildOrder, BuildResult } from './programs/build-domains.ts'
import { installPrograms } from './support/dom0-program.ts'

const FOLDER = '/root/build'
const BUSYBOX = '/bin/busybox'

const INIT = `#!/bin/busybox sh
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
echo "cpus $(busybox grep -c ^processor /proc/cpuinfo)"
echo "kib $(busybox sed -n 's/MemTotal: *//p' /proc/meminfo)"
echo "second $(busybox cat /second)"
echo "arguments $(busybox cat /proc/cmdline)"
busybox poweroff -f
`

let lab: Lab
beforeAll(async () => {
  lab = await startLab({ runsCore: false })
  await installPrograms(lab, FOLDER, {
    'build-domains': 'tests/lab/programs/build-domains.ts',
    'build-worker': 'core/xen/build/build-worker.ts',
  })
  const initrd = await makeInitrd([
    { kind: 'file', path: 'init', mode: 0o755, data: INIT },
    { kind: 'file', path: 'bin/busybox', mode: 0o755, file: BUSYBOX },
    { kind: 'directory', path: 'proc', mode: 0o555 },
    { kind: 'directory', path: 'sys', mode: 0o555 },
    { kind: 'character-device', path: 'dev/console', mode: 0o600, major: 5, minor: 1 },
  ])
  await lab.putFile(`${FOLDER}/first.cpio`, initrd)
  const second = await makeInitrd([{ kind: 'file', path: 'second', mode: 0o644, data: 'part\n' }])
  await lab.putFile(`${FOLDER}/second.cpio`, second)
})
afterAll(async () => {
  await lab?.close()
})

const spec: DomainSpec = {
  uuid: '00000000-0000-4000-8000-00000000b001',
  memoryMiB: 192,
  vcpus: 1,
  kernelPath: '/boot/vmlinuz',
  kernelCacheDir: `${FOLDER}/kernels`,
  initrd: [{ path: `${FOLDER}/first.cpio` }, { path: `${FOLDER}/second.cpio` }],
  commandLine: 'console=hvc0 quiet panic=1 word',
}

/** Builds those of one list at once, the lists one after another; gives all results in that order. */
async function build(...rounds: BuildOrder[][]): Promise<readonly BuildResult[]> {
  const { stdout, stderr, code } = await lab.exec(['node', `${FOLDER}/build-domains.js`], {
    stdin: JSON.stringify(rounds),
  })
  expect(stderr).toBe('')
  expect(code).toBe(0)
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as BuildResult)
}

const start = async (change: Partial<DomainSpec> = {}) =>
  (await build([{ spec: { ...spec, ...change }, start: true }]))[0]

describe('a built domain', () => {
  test('boots a bzImage with all vCPUs, both parts of the initrd and the command line, and xl sees it', async () => {
    const result = await start({ vcpus: 3 })
    // Xen counts the vCPUs that are online: before the kernel runs, the first.
    expect(result?.xlList).toMatch(/test-\d+ +\d+ +192 +1 +--p---/)
    expect(result?.console).toContain('cpus 3')
    expect(result?.console).toContain('second part')
    expect(result?.console).toContain('arguments console=hvc0 quiet panic=1 word')
    expect(result?.shutdownReason).toBe('poweroff')
    expect(result?.domainsLeft).toBe(0)
  })

  test('boots an ELF kernel that has no wish for its frame list and needs its initrd mapped, and may grow', async () => {
    // The types of the two notes, in the kernel's file, become ones that nobody knows.
    const script = `
      const fs = require('node:fs'), kernel = fs.readFileSync('/usr/share/bulkhead/kernel/vmlinux')
      for (const type of [15, 16]) for (const size of [4, 8]) {
        const note = Buffer.from([4, 0, 0, 0, size, 0, 0, 0, type, 0, 0, 0, 88, 101, 110, 0])
        for (let at = kernel.indexOf(note); at >= 0; at = kernel.indexOf(note, at + 1)) { kernel[at + 8] = 99; console.log(type) }
      }
      fs.writeFileSync('${FOLDER}/vmlinux-plain', kernel)`
    expect((await lab.exec(['node', '-e', script])).stdout).toBe('15\n16\n')
    const result = await start({
      kernelPath: `${FOLDER}/vmlinux-plain`,
      maxMemoryMiB: 1024,
      commandLine: 'console=hvc0',
    })
    expect(result?.console).toContain('second part')
    expect(result?.console).toMatch(/Memory: \d+K\/10\d{5}K available/)
    expect(result?.shutdownReason).toBe('poweroff')
  })
})

describe('a build that fails', () => {
  test('says why, and leaves no domain', async () => {
    const changes: Partial<DomainSpec>[] = [
      { memoryMiB: 32 },
      { memoryMiB: 1 << 20 },
      { kernelPath: `${FOLDER}/first.cpio` },
      { initrd: [{ path: `${FOLDER}/absent` }] },
    ]
    const results = await build(...changes.map((change) => [{ spec: { ...spec, ...change } }]))
    expect(results.map((result) => result.error?.code)).toEqual([
      'build.guest-too-small',
      'build.no-memory',
      'kernel.not-a-kernel',
      'build.invalid-request',
    ])
    expect(results.map((result) => result.domainsLeft)).toEqual([0, 0, 0, 0])
    expect(results[1]?.error?.message).toMatch(
      /^Cannot build domain: Xen has \d+ MiB free, 1048576 MiB needed$/,
    )
  })

  test('because another took the memory meanwhile, is undone', async () => {
    const free = Number(/^free_memory +: (\d+)$/m.exec((await lab.exec(['xl', 'info'])).stdout)?.[1])
    const large = { ...spec, memoryMiB: Math.floor(free * 0.6) }
    const other = { ...large, uuid: '00000000-0000-4000-8000-00000000b002' }
    const [one, two, after] = await build([{ spec: large }, { spec: other }], [{ spec }])
    expect([one?.error?.code, two?.error?.code].toSorted()).toEqual(['build.no-memory', undefined])
    expect(after?.error).toBeUndefined()
    expect(after?.domainsLeft).toBe(0)
  })

  test('because it was aborted, leaves no domain, whenever that happens', async () => {
    const delays = Array.from({ length: 12 }, (_, step) => step * 15)
    const results = await build([{ spec }], ...delays.map((abortAfterMs) => [{ spec, abortAfterMs }]))
    const errors = results.flatMap((result) => (result.error === undefined ? [] : [result.error.name]))
    expect(new Set(errors)).toEqual(new Set(['TimeoutError']))
    expect(results.map((result) => result.domainsLeft)).toEqual(results.map(() => 0))
  })
})
