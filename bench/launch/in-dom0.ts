// The measuring part of the launch bench, run by Node in dom0: our core host over its socket, and xl, in turns.
import { execFile, spawn } from 'node:child_process'
import { createReadStream, existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { type CoreClient, connectCore } from '../../core/client/core-client.ts'
import { defaultSettings } from '../../core/net/settings.ts'
import { launchBundle } from '../../core/runtime/boot-bundle.ts'
import type { GuestRecord } from '../../core/runtime/guest-record.ts'

export interface Sample {
  readonly buildMs: number
  readonly firstByteMs: number
}

export interface Measured {
  readonly ours: readonly Sample[]
  readonly xl: readonly Sample[]
  /** The same with the kernel as Debian packs it, once a round would take minutes: fewer rounds. */
  readonly xlPacked: readonly Sample[]
}

const run = promisify(execFile)
const state = '/var/lib/bulkhead'
const kernel = '/usr/share/bulkhead/kernel/vmlinux'
const consoleLogs = '/var/log/xen/console'
const memoryMiB = 256
const image = 'localhost/busybox:latest'
const marker = 'first byte'
const commandLine = 'console=hvc0 rdinit=/init loglevel=7 random.trust_cpu=on'
const waitMs = 60_000

async function importImage(core: CoreClient): Promise<void> {
  const { job, ticket } = await core.request('images.import', {})
  const stream = await core.openStream(ticket)
  for await (const chunk of createReadStream('/root/image.tar', { highWaterMark: 65536 }))
    await stream.write(chunk as Buffer)
  await stream.end()
  for (;;) {
    const { state: jobState, error } = await core.request('jobs.get', { job })
    if (jobState === 'done') return
    if (jobState !== 'running') throw new Error(`The import ended as ${jobState}: ${error?.message ?? ''}`)
    await delay(50)
  }
}

/** What xl is given as files, and what comes after the build. */
const notOfTheBuild: ReadonlySet<string> = new Set(['root image', 'initrd', 'unpause'])

/** From `guests.start` to the first byte; the build is what the core host's own trace says of its steps. */
async function launchOurs(core: CoreClient): Promise<Sample> {
  const { id } = await core.request('guests.create', {
    image,
    memoryMiB,
    process: { command: ['sh', '-c', `echo ${marker}`] },
    // As the peer's: an interface would be our cost alone.
    network: { kind: 'none' },
  })
  const { ticket } = await core.request('streams.open', { kind: 'stdio', guest: id, lossless: true })
  const first = Promise.withResolvers<number>()
  const stream = await core.openStream(ticket, {
    data: (number, bytes, offset) => {
      first.resolve(performance.now())
      stream.acknowledge(number, offset + bytes.length)
    },
  })
  const before = performance.now()
  await core.request('guests.start', { guest: id }).catch((error: unknown) => {
    // The program may end before the answer: then its end is the answer.
    if ((error as { code?: string }).code !== 'guest.ended') throw error
  })
  const firstByteMs = (await first.promise) - before
  await stream.finished
  const { launch } = await core.request('guests.inspect', { guest: id })
  const isStep = (step: string) => !step.startsWith('domain: ') && !notOfTheBuild.has(step)
  const buildMs = launch.filter(({ step }) => isStep(step)).reduce((sum, { ms }) => sum + ms, 0)
  await core.request('guests.remove', { guest: id })
  return { buildMs, firstByteMs }
}

interface Peer {
  readonly folder: string
  readonly initrd: string
  readonly disk: string
}

/**
 * What Xen's own block script does for a device that is there already, without its locks and sharing checks: those
 * wait for udev, which the lab does not have, and would only make the peer slower.
 */
const blockScript = `#!/bin/sh
[ "$1" = add ] || exit 0
exec xenstore-write "$XENBUS_PATH/physical-device" "$(stat -L -c %t:%T "$(xenstore-read "$XENBUS_PATH/params")")" \\
  "$XENBUS_PATH/hotplug-status" connected
`

/** The same initrd and disk for xl; its program writes to hvc0, which xenconsoled logs. */
async function preparePeer(): Promise<Peer> {
  const folder = '/root/xl'
  await mkdir(folder, { recursive: true })
  await mkdir(consoleLogs, { recursive: true })
  const [base] = (await readdir(join(state, 'initrds'))).filter((name) => name.endsWith('.cpio'))
  const [root] = (await readdir(join(state, 'images'))).filter((name) => name.endsWith('.squashfs'))
  if (base === undefined || root === undefined)
    throw new Error('The core host has left neither initrd nor root image')
  const record = {
    id: '0'.repeat(64),
    spec: {
      hostname: 'peer',
      readOnlyRoot: false,
      process: {
        argv: ['sh', '-c', `echo ${marker} > /dev/hvc0; sleep 600`],
        env: ['PATH=/bin'],
        cwd: '/',
        user: '',
        groups: [],
        terminal: false,
        stdin: false,
        rows: 24,
        columns: 80,
      },
    },
  } as unknown as GuestRecord
  await writeFile(join(folder, 'block'), blockScript, { mode: 0o755 })
  const initrd = join(folder, 'initrd')
  await writeFile(
    initrd,
    Buffer.concat([
      await readFile(join(state, 'initrds', base)),
      await launchBundle(record, 'squashfs', { settings: defaultSettings, hostSearch: [] }),
    ]),
  )
  const { stdout } = await run('losetup', ['-r', '-f', '--show', join(state, 'images', root)]).catch(() =>
    run('sh', ['-c', `d=$(losetup -f); losetup -r $d ${join(state, 'images', root)}; echo $d`]),
  )
  spawn('xenconsoled', ['--log=guest'], { stdio: 'ignore', detached: true }).unref()
  return { folder, initrd, disk: stdout.trim() }
}

async function launchXl({ folder, initrd, disk }: Peer, kernelPath: string): Promise<Sample> {
  const config = join(folder, 'peer.cfg')
  await writeFile(
    config,
    [
      'name = "peer"',
      'type = "pv"',
      `memory = ${memoryMiB}`,
      'vcpus = 1',
      `kernel = "${kernelPath}"`,
      `ramdisk = "${initrd}"`,
      `extra = "${commandLine}"`,
      `disk = ["format=raw, vdev=xvda, access=ro, script=${folder}/block, target=${disk}"]`,
      'on_poweroff = "destroy"',
      'on_crash = "preserve"',
      '',
    ].join('\n'),
  )
  const log = join(consoleLogs, 'guest-peer.log')
  await rm(log, { force: true })
  const paused = performance.now()
  await run('xl', ['create', '-p', '-q', config])
  const buildMs = performance.now() - paused
  await run('xl', ['destroy', 'peer'])
  await rm(log, { force: true })
  const before = performance.now()
  await run('xl', ['create', '-q', config])
  const firstByteMs = (await whenWritten(log, before)) - before
  await run('xl', ['destroy', 'peer'])
  return { buildMs, firstByteMs }
}

async function whenWritten(log: string, since: number): Promise<number> {
  while (performance.now() - since < waitMs) {
    const text = await readFile(log, 'latin1').catch(() => '')
    if (text.includes(marker)) return performance.now()
    await delay(5)
  }
  throw new Error(`xl's guest wrote nothing within ${waitMs} ms`)
}

const rounds = Number(process.argv[2] ?? 5)
const client = await connectCore({
  kind: 'socket',
  socketPath: '/run/bulkhead/core.sock',
  label: 'the core host',
})
await importImage(client)
// Once, unmeasured: the initrd's first part, the page cache, code that is compiled on first use.
await launchOurs(client)
const peer = await preparePeer()
const measured = { ours: [] as Sample[], xl: [] as Sample[], xlPacked: [] as Sample[] }
await launchXl(peer, kernel)
for (let round = 0; round < rounds; round++) {
  measured.ours.push(await launchOurs(client))
  measured.xl.push(await launchXl(peer, kernel))
}
const packed = `/boot/vmlinuz`
if (existsSync(packed))
  for (let round = 0; round < rounds; round++) measured.xlPacked.push(await launchXl(peer, packed))
process.stdout.write(`${JSON.stringify(measured)}\n`)
process.exit(0)
