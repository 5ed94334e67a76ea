// Guests whose root is an EROFS image: they boot and find in it what they find in a squashfs one.

import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest'
import { openCache } from '../../lab/cache.ts'
import { coreDisk } from '../../lab/image/disks.ts'
import { requestLab } from '../../lab/lab-client.ts'
import { projectRoot } from '../../lab/project-files.ts'
import { image, LabHost } from '../cli/lab-host.ts'

let host: LabHost
beforeAll(async () => {
  host = await LabHost.start()
})
afterAll(() => host?.[Symbol.asyncDispose]())

/** The image in the root: kinds, modes, owners, links, times, targets and contents. guest-init changes the root and etc. */
const description = [
  'cd /',
  'find . -xdev \\( -path ./proc -o -path ./sys -o -path ./dev -o -path ./run \\) -prune -o -print | sort > /tmp/all',
  'while read -r path; do stat -c "%n %f %u:%g %h %Y %N" "$path"; done < /tmp/all | grep -v -e "^[.] " -e "^./etc" -e "^./tmp"',
  'find bin usr var -type f | sort | while read -r file; do sha256sum "$file"; done',
].join('; ')

function describeRoot() {
  return host.bulkhead(['run', '--rm', image, 'sh', '-c', description])
}

/** Brings a core host into the lab that writes root images as EROFS. */
async function switchToErofs(): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), 'core-'))
  try {
    mkdirSync(join(root, 'dist'))
    cpSync(join(projectRoot(), 'dist/core'), join(root, 'dist/core'), { recursive: true })
    symlinkSync(join(projectRoot(), 'dist/guest-init'), join(root, 'dist/guest-init'))
    symlinkSync(join(projectRoot(), 'node_modules'), join(root, 'node_modules'))
    cpSync(join(root, 'dist/core/core-host.js'), join(root, 'dist/core/built-core-host.js'))
    const start = "process.argv.push('--root-image', 'erofs')\nawait import('./built-core-host.js')\n"
    writeFileSync(join(root, 'dist/core/core-host.js'), start)
    const disk = await coreDisk(openCache(), root)
    await requestLab(host.lab.files.labSocket, { verb: 'deliverCore', image: disk })
  } finally {
    rmSync(root, { recursive: true })
  }
}

const rootImages = async () => (await host.lab.exec('ls /var/lib/bulkhead/images')).stdout

test('a guest reads from an EROFS root what another one reads from a squashfs root', async () => {
  onTestFailed(async () => console.error(await host.lab.story()))
  const fromSquashfs = await describeRoot()
  expect(fromSquashfs).toMatchObject({ status: 0, stderr: '' })
  expect(fromSquashfs.stdout).toMatch(/[0-9a-f]{64} {2}bin\/busybox/)
  expect(await rootImages()).toMatch(/\.squashfs\n/)

  await switchToErofs()
  const fromErofs = await describeRoot()
  expect(await rootImages()).toMatch(/\.erofs\n/)
  expect(fromErofs).toEqual(fromSquashfs)
  // What the guest's kernel has mounted: no other file system could be the root.
  const mounted = await host.bulkhead(['run', '--rm', image, 'ls', '/sys/fs/erofs'])
  expect(mounted).toMatchObject({ status: 0, stdout: expect.stringContaining('xvda') })
})

test('nothing is left behind', async () => {
  expect(await host.leftBehind()).toEqual([])
})
