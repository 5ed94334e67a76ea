// The life of a domain on real Xen through core/xen alone: entries in xenstore, console, disk, removal; and the hypervisor
// and xenstore themselves.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeInitrd } from '../../core/xen/kernel/initrd.ts'
import { type Lab, startLab } from '../../lab/fixture.ts'
import { installPrograms } from './support/dom0-program.ts'

const FOLDER = '/root/life'
const LINES = 2000

// The drivers of disk and network are modules of Debian's kernel: loaded from what the test puts beside init.
const INIT = `#!/bin/busybox sh
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox mount -t devtmpfs dev /dev
for module in /modules/*; do busybox insmod $module; done
until busybox head -c 19 /dev/xvda; do busybox usleep 50000; done
echo
line=0
while [ $line -lt ${LINES} ]; do line=$((line + 1)); echo "line $line of the output"; done
busybox ip link set eth0 up
busybox ip address add 192.0.2.7/24 dev eth0
until [ "$(busybox cat /sys/class/net/eth0/carrier)" = 1 ]; do busybox usleep 50000; done
busybox ping -c 1 -W 1 192.0.2.1
busybox stty -echo
echo "ready for input"
busybox head -n 3 | busybox awk '{ n++; length_ = length($0) } END { print n " lines of " length_ }'
while read word; do [ "$word" = off ] && busybox poweroff -f; done
`

let lab: Lab
beforeAll(async () => {
  lab = await startLab({ runsCore: false })
  await installPrograms(lab, FOLDER, {
    'domain-life': 'tests/lab/programs/domain-life.ts',
    'hypervisor-use': 'tests/lab/programs/hypervisor-use.ts',
    'xenstore-use': 'tests/lab/programs/xenstore-use.ts',
    'build-worker': 'core/xen/build/build-worker.ts',
    'ring-worker': 'core/xen/ring/ring-worker.ts',
  })
  const driver = async (name: string) =>
    (await lab.exec(`cat "/lib/modules/$(uname -r)/kernel/drivers/${name}.ko"`)).stdoutBytes
  const initrd = await makeInitrd([
    { kind: 'file', path: 'init', mode: 0o755, data: INIT },
    { kind: 'file', path: 'bin/busybox', mode: 0o755, file: '/bin/busybox' },
    { kind: 'directory', path: 'proc', mode: 0o555 },
    { kind: 'directory', path: 'sys', mode: 0o555 },
    { kind: 'file', path: 'modules/blk.ko', mode: 0o600, data: await driver('block/xen-blkfront') },
    { kind: 'file', path: 'modules/net.ko', mode: 0o600, data: await driver('net/xen-netfront') },
    { kind: 'character-device', path: 'dev/console', mode: 0o600, major: 5, minor: 1 },
  ])
  await lab.putFile(`${FOLDER}/initrd`, initrd)
})
afterAll(async () => {
  await lab?.close()
})

async function run<Result>(program: string, settings: object): Promise<Result> {
  const { stdout, stderr, code } = await lab.exec([
    'node',
    `${FOLDER}/${program}.js`,
    JSON.stringify(settings),
  ])
  expect(stderr).toBe('')
  expect(code).toBe(0)
  return JSON.parse(stdout) as Result
}

interface Life {
  readonly transport: string
  readonly xl: string
  readonly nodes: string
  readonly output: string
  readonly devices: readonly string[]
  readonly vif: string
  readonly counters: string
  readonly before: string
  readonly after: string
}

describe.each([
  ['socket', '/run/xenstored/socket'],
  ['device', '/dev/xen/xenbus'],
] as const)('a domain, by way of the %s', (transport, name) => {
  let life: Life
  beforeAll(async () => {
    life = await run<Life>('domain-life', {
      transport,
      kernelPath: '/usr/share/bulkhead/kernel/vmlinux',
      initrdPath: `${FOLDER}/initrd`,
      cacheFolder: FOLDER,
    })
  })

  test('is listed by us and by xl, and its console is ours alone', () => {
    expect(life).toMatchObject({
      transport: name,
      isRunningListed: true,
      second: 'xen.attach-failed EINVAL',
      mirrored: [{ uuid: '00000000-0000-4000-8000-00000000d001', guestId: 'a'.repeat(64), name: 'life.1' }],
    })
    expect(life.xl).toMatch(/^life\.1 +\d+ +128 +1 /m)
  })

  test('gives every line of its console, takes input longer than the ring, and reads its disk', () => {
    const lines = life.output.split(/\r?\n/)
    expect(lines).toContain('what is on the disk')
    expect(lines.filter((line) => /^line \d+ of the output$/.test(line))).toEqual(
      Array.from({ length: LINES }, (_, index) => `line ${index + 1} of the output`),
    )
    expect(lines).toContain('3 lines of 700')
  })

  test('has an interface whose other end is in a namespace of its own, up, without addresses, and carries frames', () => {
    const name = /vif\d+\.0/.exec(life.vif)?.[0] ?? 'none'
    expect(life).toMatchObject({ isRaisedOnce: true, devices: expect.not.arrayContaining([name]) })
    expect(life.vif).toMatch(/vif\d+\.0: <[^>]*\bUP,LOWER_UP\b/)
    expect(life.vif).not.toContain('inet')
    expect(Number(new RegExp(`${name}: *\\d+ +(\\d+)`).exec(life.counters)?.[1])).toBeGreaterThan(0)
  })

  test('can write only what is its own', () => {
    const domid = /^\/local\/domain\/(\d+)\/name = "life\.1"/m.exec(life.nodes)?.[1]
    const own = life.nodes
      .split('\n')
      .filter((line) => !line.endsWith(`(n0)`) && !line.endsWith(`(n0,r${domid})`) && line !== '')
    for (const line of own) {
      expect(line).toMatch(
        new RegExp(`^/local/domain/${domid}/(control|data|device|drivers|feature|attr|error)`),
      )
      expect(line).toMatch(new RegExp(`\\(n${domid}(,r0)?\\)$`))
    }
    expect(life.nodes).toContain(`/local/domain/${domid}/console/type = "bulkhead"   (n0,r${domid})`)
  })

  test('leaves nothing behind, and nothing of it goes by another record', () => {
    expect(life).toMatchObject({ shutdownReason: 'poweroff', notOurs: 1, loops: 0 })
    const empty = /^\/(bulkhead|vm|local\/domain\/0\/backend(\/(vbd|vif|console))?) = ""/
    const left = life.after.split('\n').filter((line) => !life.before.split('\n').includes(line))
    expect(left.filter((line) => !empty.test(line))).toEqual([])
  })
})

test('the hypervisor lists, finds and destroys domains, without holding up the event loop', async () => {
  const result = await run<{ turnsWhileDestroying: number; freedMiB: number }>('hypervisor-use', {})
  expect(result).toMatchObject({
    populated: 128,
    framesAreDistinct: true,
    areListed: true,
    missing: null,
    byUuid: true,
    pauseMissing: 'xen.hypercall-failed ESRCH',
    mapMissing: 'xen.attach-failed ESRCH',
    version: expect.stringMatching(/^4\.\d+\.\d+/),
    capabilities: expect.stringContaining('xen-3.0-x86_64'),
    console: expect.stringContaining('Dom0'),
    left: 1,
  })
  expect(result.turnsWhileDestroying).toBeGreaterThan(1)
  expect(result.freedMiB).toBeGreaterThan(250)
})

describe.each(['socket', 'device'])('xenstore, by way of the %s', (transport) => {
  test('keeps what many writers at once put in, in one transaction and outside', async () => {
    expect(await run('xenstore-use', { transport })).toEqual({
      alone: 400,
      inTransaction: 400,
      counter: { value: 21, runs: 3 },
      permissions: { owner: 0, others: 'none', grants: [{ domid: 5, access: 'read' }] },
      missing: [null, null],
      isWatchComplete: true,
      waited: 'connected',
      refused: 'ENOENT',
      introduced: [true, false],
      left: null,
    })
  })
})
