// Landlock, the filter of system calls and the limit of open files, each in a process of its own: none can be taken back.
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const run = promisify(execFile)
let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'confinement-'))
  writeFileSync(join(folder, 'inside'), 'x')
})
afterAll(() => rmSync(folder, { recursive: true }))

describe('a process that has confined itself', () => {
  it('reads what it was left, has sockets and threads, and nothing else', async () => {
    const fixture = join(import.meta.dirname, 'confinement.fixture.ts')
    const { stdout } = await run(process.execPath, [fixture, folder, '/etc/hostname'])
    const { landlock, readOutside, ...outcomes } = JSON.parse(stdout)
    expect(outcomes).toEqual({
      status: '2',
      readInside: 'done',
      write: 'EPERM',
      writeInPool: 'EPERM',
      makeFolder: 'EPERM',
      program: 'refused',
      packetSocket: 'EPERM',
      unixSocket: 'EPERM',
      streamSocket: 'done',
      datagramSocket: 'done',
      netlinkSocket: 'done',
      socketPair: 'done',
      thread: 'done',
    })
    // A kernel without Landlock says so, and then files are what the user may have.
    const isConfined = landlock === 'done'
    expect(['done', 'ENOSYS', 'EOPNOTSUPP']).toContain(landlock)
    expect(readOutside).toBe(isConfined ? 'EACCES' : 'done')
  })
})

describe('forbidIoUring()', () => {
  it('keeps a process that it turns into from having a ring', async () => {
    const program = `
      const { forbidIoUring, forbidNewPrivileges } = await import('${join(import.meta.dirname, 'seccomp.ts')}')
      forbidNewPrivileges()
      forbidIoUring()
      process.execve(process.execPath, [process.execPath, '-p',
        "fs.readdirSync('/proc/self/fd').filter((fd) => { try { return fs.readlinkSync('/proc/self/fd/' + fd).includes('io_uring') } catch { return false } }).length"], process.env)`
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', program])
    expect(stdout).toBe('0\n')
  })
})

describe('raiseDescriptorLimit()', () => {
  it('raises the limit as far as it may be, and says how far that is', async () => {
    const program = `
      const { raiseDescriptorLimit } = await import('${join(import.meta.dirname, 'process-limits.ts')}')
      const { readFileSync } = await import('node:fs')
      const limit = () => Number(/^Max open files +(\\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))[1])
      console.log(JSON.stringify([raiseDescriptorLimit(10), limit(), raiseDescriptorLimit(207), limit()]))`
    const command = 'ulimit -n 200; exec "$0" --input-type=module -e "$1"'
    const { stdout } = await run('sh', ['-c', command, process.execPath, program])
    const [enough, before, raised, after] = JSON.parse(stdout)
    expect([enough, before, raised]).toEqual([200, 200, after])
    // More than the hard limit takes CAP_SYS_RESOURCE.
    expect([200, 207]).toContain(raised)
  })
})
