// Guests that outlive the command that started them: lists, logs, waiting, ending, and names that are not there.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { GuestDetails, GuestSummary, ImageDetails } from '../../core/api/methods.ts'
import { image, LabHost } from './lab-host.ts'

let host: LabHost
beforeAll(async () => {
  host = await LabHost.start()
})
afterAll(() => host[Symbol.asyncDispose]())
afterEach(async () => {
  const { stdout } = await host.bulkhead(['ps', '-aq'])
  if (stdout !== '') await host.bulkhead(['rm', '-f', ...stdout.trim().split('\n')])
  expect(await host.leftBehind()).toEqual([])
})
const detached = async (name: string, ...words: string[]) => detachedWith(['--name', name], ...words)
const detachedWith = async (options: readonly string[], ...words: string[]) => {
  const { status, stdout, stderr } = await host.bulkhead(['run', '-d', ...options, image, ...words])
  if (status !== 0) throw new Error(stderr)
  return stdout.trim()
}
/** A signal before the program has set its trap is none to it. */
const isUp = async (name: string) => {
  const following = host.start(['logs', '-f', name])
  await following.said('up\n')
  following.child.kill()
}
const forEver = [
  'sh',
  '-c',
  'trap "echo bye; exit 3" TERM; echo up; echo err >&2; while :; do sleep 0.1; done',
]

describe('a guest in the background', () => {
  it('is listed, logged, stopped by its signal, waited for and removed', async () => {
    const id = await detached('web', ...forEver)
    expect(id).toMatch(/^[0-9a-f]{64}$/)
    const [guest]: GuestSummary[] = JSON.parse((await host.bulkhead(['ps', '--json'])).stdout)
    expect(guest).toMatchObject({ id, name: 'web', image, state: 'running' })
    expect((await host.bulkhead(['ps', '-q'])).stdout).toBe(`${id.slice(0, 12)}\n`)
    expect((await host.bulkhead(['ps'])).stdout).toMatch(/ Up .* web\n$/)
    expect((await host.lab.exec('xl list')).stdout).toMatch(/^web /m)

    const following = host.start(['logs', '-f', 'web'])
    await following.said('up\n')
    const waiting = host.bulkhead(['wait', 'web'])
    expect(await host.bulkhead(['stop', id.slice(0, 12)])).toMatchObject({
      status: 0,
      stdout: `${id.slice(0, 12)}\n`,
    })
    expect(await waiting).toMatchObject({ status: 0, stdout: '3\n' })
    expect(await following.finish()).toMatchObject({ status: 0, stdout: 'up\nbye\n', stderr: 'err\n' })
    expect(await host.bulkhead(['logs', '-n', '1', 'web'])).toMatchObject({ status: 0, stdout: 'bye\n' })

    expect((await host.bulkhead(['ps', '-q'])).stdout).toBe('')
    expect((await host.bulkhead(['ps', '-a'])).stdout).toMatch(/ Exited \(3\) .* ago .* web\n$/)
    expect(await host.bulkhead(['rm', 'web'])).toMatchObject({ status: 0, stdout: 'web\n' })
    expect((await host.bulkhead(['ps', '-aq'])).stdout).toBe('')
  })

  it('is ended by force after its time, and at once by kill', async () => {
    const deaf = ['sh', '-c', 'trap "" TERM; echo up; while :; do sleep 0.1; done']
    await detached('deaf', ...deaf)
    await isUp('deaf')
    await host.bulkhead(['stop', '-t', '1', 'deaf'])
    await detached('other', ...deaf)
    await host.bulkhead(['kill', 'other'])
    expect((await host.bulkhead(['wait', 'deaf', 'other'])).stdout).toBe('137\n137\n')
  })

  it('gets a signal by kill -s', async () => {
    await detached('web', ...forEver)
    await isUp('web')
    expect((await host.bulkhead(['kill', '-s', 'TERM', 'web'])).status).toBe(0)
    expect((await host.bulkhead(['wait', 'web'])).stdout).toBe('3\n')
  })

  it('stands still while it is paused', async () => {
    await detached('web', 'sh', '-c', 'i=0; while :; do echo $((i += 1)); sleep 0.1; done')
    expect((await host.bulkhead(['pause', 'web'])).status).toBe(0)
    expect((await host.bulkhead(['ps'])).stdout).toContain('(Paused)')
    expect((await host.lab.exec('xl list web')).stdout).toMatch(/ --p--- /)
    const before = (await host.bulkhead(['logs', 'web'])).stdout
    expect((await host.bulkhead(['attach', 'web'])).stderr).toContain('it is paused')
    expect((await host.bulkhead(['logs', 'web'])).stdout).toBe(before)
    expect((await host.bulkhead(['unpause', 'web'])).status).toBe(0)
    const attached = host.start(['attach', 'web'])
    await attached.said('\n')
    await host.bulkhead(['kill', 'web'])
    expect((await attached.finish()).status).toBe(137)
  })

  it('is inspected, as its image is', async () => {
    const id = await detached('web', ...forEver)
    const [guest]: GuestDetails[] = JSON.parse((await host.bulkhead(['inspect', 'web'])).stdout)
    expect(guest).toMatchObject({ id, name: 'web', memoryMiB: 512, vcpus: 1, process: { argv: forEver } })
    expect(guest?.launch.length).toBeGreaterThan(3)
    const [found]: ImageDetails[] = JSON.parse((await host.bulkhead(['image', 'inspect', image])).stdout)
    expect(found).toMatchObject({ reference: image, usedBy: ['web'], run: { command: ['sh'] } })
    const refused = await host.bulkhead(['rmi', image])
    expect([refused.status, refused.stderr]).toEqual([1, expect.stringContaining('web')])
    expect((await host.bulkhead(['images'])).stdout).toContain('localhost/busybox   latest')
  })

  it("shows the kernel's words with logs --boot", async () => {
    await detachedWith(['--name', 'web', '--kernel-arg', 'loglevel=7'], ...forEver)
    expect((await host.bulkhead(['logs', '--boot', 'web'])).stdout).toContain('Linux version')
  })
})

describe('names', () => {
  it.each([
    ['logs'],
    ['attach'],
    ['console'],
    ['stop'],
    ['kill'],
    ['pause'],
    ['unpause'],
    ['rm'],
    ['wait'],
    ['inspect'],
  ])('that nobody has: %s says so', async (verb) => {
    const { status, stderr } = await host.bulkhead([verb, 'nobody'])
    expect([status, stderr.split('\n')[0]]).toEqual([1, 'bulkhead: No guest is called "nobody"'])
  })

  it('are given once', async () => {
    await detached('web', ...forEver)
    const { status, stderr } = await host.bulkhead(['run', '--rm', '--name', 'web', image, 'true'])
    expect([status, stderr.split('\n')[0]]).toEqual([125, 'bulkhead: A guest called "web" is there already'])
  })

  it('of images that are not there: no guest is made', async () => {
    const { status, stderr } = await host.bulkhead(['run', '--pull', 'never', 'localhost/nosuch', 'true'])
    expect(status).toBe(125)
    expect(stderr).toContain('localhost/nosuch')
    expect((await host.bulkhead(['ps', '-aq'])).stdout).toBe('')
  })
})

describe('the host', () => {
  it('tells what it is and that it is ready', async () => {
    const { stdout } = await host.bulkhead(['host', 'info', '--json'])
    expect(JSON.parse(stdout)).toMatchObject({
      lab: true,
      images: 1,
      xen: { version: expect.stringMatching(/^4\./) },
    })
    expect((await host.bulkhead(['host', 'check'])).status).toBe(0)
    expect((await host.bulkhead(['host', 'dmesg'])).stdout).toContain('Xen version')
  })
})
