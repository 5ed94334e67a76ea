import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { authorise } from './authorisation.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'authorisation-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

function files(pkcheckScript?: string) {
  const paths = {
    passwd: join(folder, 'passwd'),
    group: join(folder, 'group'),
    pkcheck: join(folder, 'pkcheck'),
  }
  writeFileSync(
    paths.passwd,
    'root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/:/bin/sh\nbob:x:1001:1001::/:/bin/sh\n',
  )
  writeFileSync(paths.group, 'root:x:0:\nbulkhead:x:120:ann\n')
  if (pkcheckScript !== undefined) {
    writeFileSync(paths.pkcheck, `#!/bin/sh\n${pkcheckScript}\n`)
    chmodSync(paths.pkcheck, 0o755)
  }
  return paths
}
const peer = (uid: number, gid = uid) => ({ pid: process.pid, uid, gid })

describe('authorise()', () => {
  it('lets root and the group do all', async () => {
    expect(await authorise(peer(0), files())).toBe('manage')
    expect(await authorise(peer(1000), files())).toBe('manage')
    expect(await authorise(peer(4000, 120), files())).toBe('manage')
  })

  it('refuses others in one sentence where there is no polkit', async () => {
    await expect(authorise(peer(1001), files())).rejects.toMatchObject({
      code: 'host.not-allowed',
      message: 'User 1001 may not use Bulkhead on this host',
      hint: expect.stringContaining('adduser bob bulkhead'),
    })
  })

  it('asks polkit about the caller itself, first for all, then for a look', async () => {
    const view = `case "$2" in *view) exit 0;; esac; exit 1`
    expect(await authorise(peer(1001), files(view))).toBe('view')
    const process = `[ "$3" = --process ] && case "$4" in ${globalThis.process.pid},[0-9]*,1001) exit 0;; esac; exit 1`
    expect(await authorise(peer(1001), files(process))).toBe('manage')
    await expect(authorise(peer(1001), files('exit 1'))).rejects.toMatchObject({ code: 'host.not-allowed' })
  })

  it('refuses a caller that is gone', async () => {
    await expect(
      authorise({ pid: 2 ** 22 + 1, uid: 1001, gid: 1001 }, files('exit 0')),
    ).rejects.toMatchObject({
      code: 'host.not-allowed',
    })
  })
})
