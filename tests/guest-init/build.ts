// Builds guest-init's test tools, and what they run on: a busybox image as a squashfs on a loop device.

import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const repository = join(import.meta.dirname, '../..')
const output = join(repository, 'dist/guest-init')

export const tools = {
  plain: join(output, 'guest-init-test'),
  sanitized: join(output, 'guest-init-sanitized'),
  probe: join(output, 'probe'),
} as const

/** Compiles what is out of date. Several test files may do so at once: one waits for the other. */
export function buildTools(): void {
  mkdirSync(output, { recursive: true })
  const make = ['make', '-s', '-C', join(repository, 'guest-init'), 'test-tools']
  execFileSync('flock', [join(output, '.lock'), ...make], { stdio: ['ignore', 'inherit', 'inherit'] })
}

const applets = [
  'sh',
  'cat',
  'echo',
  'env',
  'id',
  'ls',
  'pwd',
  'sleep',
  'stty',
  'head',
  'dd',
  'sha256sum',
  'ps',
]
const moreApplets = [
  'mount',
  'grep',
  'tty',
  'kill',
  'hostname',
  'readlink',
  'stat',
  'wc',
  'true',
  'seq',
  'touch',
  'ip',
]

export interface TestImage extends Disposable {
  /** Block device number, `MAJOR:MINOR`, of the squashfs. */
  readonly device: string
}

function writeTree(root: string): void {
  for (const folder of ['bin', 'etc', 'srv', 'home/web', 'tmp', 'sbin', 'run/stale'])
    mkdirSync(join(root, folder), { recursive: true })
  execFileSync('cp', ['/bin/busybox', join(root, 'bin/busybox')])
  for (const applet of [...applets, ...moreApplets]) symlinkSync('busybox', join(root, 'bin', applet))
  symlinkSync('/bin/busybox-sh', join(root, 'sbin/init'))
  writeFileSync(join(root, 'bin/busybox-sh'), '#!/bin/sh\nshift\neval "$@"\n', { mode: 0o755 })
  writeFileSync(
    join(root, 'etc/passwd'),
    'root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001::/home/web:/bin/sh\n',
  )
  writeFileSync(join(root, 'etc/group'), 'root:x:0:\nadm:x:4:root,web\nweb:x:1001:\nusb:x:46:web\n')
  symlinkSync('../../../../run/resolver/stub', join(root, 'etc/resolv.conf'))
  symlinkSync('/srv/victim', join(root, 'etc/hosts'))
  writeFileSync(join(root, 'srv/victim'), 'untouched\n')
  writeFileSync(join(root, 'bin/not-executable'), 'text', { mode: 0o644 })
  writeFileSync(join(root, 'bin/bad-format'), 'no program\n', { mode: 0o755 })
}

/** Needs root, mksquashfs and losetup. */
export function makeTestImage(): TestImage {
  const folder = mkdtempSync(join(tmpdir(), 'guest-init-image-'))
  const file = join(folder, 'image.squashfs')
  mkdirSync(join(folder, 'tree'))
  writeTree(join(folder, 'tree'))
  execFileSync('mksquashfs', [
    join(folder, 'tree'),
    file,
    '-quiet',
    '-no-progress',
    '-comp',
    'gzip',
    '-noI',
    '-noD',
  ])
  const loop = execFileSync('losetup', ['--find', '--show', '--read-only', file], { encoding: 'utf8' }).trim()
  const number = statSync(loop).rdev
  return {
    device: `${number >> 8}:${number & 0xff}`,
    [Symbol.dispose]() {
      execFileSync('losetup', ['--detach', loop])
      rmSync(folder, { recursive: true })
    },
  }
}
