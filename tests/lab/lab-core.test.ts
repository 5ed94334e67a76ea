// The core host in a lab: reached through the lab's socket, kept alive, and replaced when it was built anew.

import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openCache } from '../../lab/cache.ts'
import { type Lab, startLab } from '../../lab/fixture.ts'
import { coreDisk } from '../../lab/image/disks.ts'
import { requestLab } from '../../lab/lab-client.ts'
import { projectRoot } from '../../lab/project-files.ts'
import { temporaryFolder } from '../../lab/temporary-folder.fixture.ts'

let lab: Lab

beforeAll(async () => {
  lab = await startLab()
})

afterAll(() => lab?.close())

/** The first line that the core host answers to `rpc 1`. */
function greeting(): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    const connection = connect(lab.socketPath)
    connection.write('rpc 1\n')
    connection.on('data', (chunk) => {
      text += chunk
      const end = text.indexOf('\n')
      if (end < 0) return
      resolve(text.slice(0, end))
      connection.destroy()
    })
    connection.on('error', reject)
    connection.on('close', () => resolve(text))
  })
}

/** A copy of the project's core with one file of it changed. */
async function changedCore(path: string, content: string): Promise<string> {
  const root = temporaryFolder('core')
  mkdirSync(join(root, 'dist'))
  cpSync(join(projectRoot(), 'dist/core'), join(root, 'dist/core'), { recursive: true })
  symlinkSync(join(projectRoot(), 'dist/guest-init'), join(root, 'dist/guest-init'))
  symlinkSync(join(projectRoot(), 'node_modules'), join(root, 'node_modules'))
  writeFileSync(join(root, path), content)
  return await coreDisk(openCache(), root)
}

test('it answers on the socket of the lab as soon as the lab is there', async () => {
  expect(await greeting()).toMatch(/^ok \{"protocol":1,/)
  expect((await lab.status()).core).toMatchObject({ wanted: true, starts: 1, lastEnd: null })
})

test('it is started again, once, when it is killed', async () => {
  expect(await lab.killCore()).toMatchObject({ lastEnd: 'killed by SIGKILL' })
  await lab.coreReady()
  expect(await greeting()).toMatch(/^ok /)
  expect((await lab.status()).core).toMatchObject({ starts: 2 })
  // The bracket keeps grep and its shell from finding themselves.
  const running = await lab.exec('grep -la "core-hos[t].js" /proc/[0-9]*/cmdline | wc -l')
  expect(running.stdout.trim()).toBe('1')
})

test('it is told to end before it is started anew', async () => {
  await lab.restartCore()
  expect((await lab.status()).core).toMatchObject({ starts: 3, lastEnd: 'status 0' })
  expect(await greeting()).toMatch(/^ok /)
})

test('a newly built core takes its place while the lab runs', async () => {
  const image = await changedCore('dist/core/marker', 'new')
  await requestLab(lab.files.labSocket, { verb: 'deliverCore', image })
  expect((await lab.getFile('/core/dist/core/marker')).toString()).toBe('new')
  expect(await lab.status()).toMatchObject({ coreImage: image, core: { starts: 4 } })
  expect(await greeting()).toMatch(/^ok /)
})

test('one that cannot start is given up with its reason, and dom0 stays within reach', async () => {
  const image = await changedCore('dist/core/core-host.js', 'console.error("no such luck"); process.exit(3)')
  await expect(requestLab(lab.files.labSocket, { verb: 'deliverCore', image })).rejects.toMatchObject({
    code: 'lab.core',
    message: expect.stringMatching(
      /^Cannot start the core host in dom0: it ended \d+ times, at last with status 3$/,
    ),
    hint: expect.stringContaining('core-host.log'),
  })
  expect(await lab.story()).toContain('no such luck')
  expect(await greeting()).toBe('')
})
