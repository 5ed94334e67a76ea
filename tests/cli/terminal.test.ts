// Guests in a terminal: what the program sees of it, leaving, and coming back.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { image, LabHost } from './lab-host.ts'

let host: LabHost
beforeAll(async () => {
  host = await LabHost.start()
})
afterAll(() => host[Symbol.asyncDispose]())
afterEach(async () => {
  expect(await host.leftBehind()).toEqual([])
})

describe('a guest in a terminal', () => {
  it('has the size of ours, passes the status on, and is gone with --rm', async () => {
    const terminal = host.terminal(['run', '-it', '--rm', image, 'sh'])
    await terminal.said('# ')
    terminal.type('stty size\r')
    await terminal.said('40 132')
    terminal.type('test -t 0 && test -t 1 && test -t 2 && echo "all $((1 + 2))"\r')
    await terminal.said('all 3')
    terminal.type('exit 5\r')
    expect((await terminal.finish()).status).toBe(5)
    expect((await host.bulkhead(['ps', '-aq'])).stdout).toBe('')
  })

  it('passes Ctrl-C to the program', async () => {
    const terminal = host.terminal(['run', '-it', '--rm', image, 'sh'])
    await terminal.said('# ')
    terminal.type('echo "wait $((1 + 1))"; sleep 1000\r')
    await terminal.said('wait 2')
    terminal.type('\x03')
    terminal.type('echo "after $?"\r')
    await terminal.said('after 130')
    terminal.type('exit\r')
    await terminal.finish()
  })

  it('goes on when it is left by Ctrl-], and can be come back to', async () => {
    const first = host.terminal(['run', '-it', '--name', 'shell', image, 'sh'])
    await first.said('# ')
    first.type('word=kept\r')
    first.type('\x1d')
    const left = await first.finish()
    expect(left.status).toBe(0)
    expect(left.stdout).toContain('come back with: bulkhead attach shell')

    const second = host.terminal(['attach', 'shell'])
    await second.said('Attached')
    second.type('echo "word is $word"\r')
    await second.said('word is kept')
    second.type('exit 4\r')
    expect((await second.finish()).status).toBe(4)
    expect((await host.bulkhead(['rm', 'shell'])).status).toBe(0)
  })

  it('shows the console of the guest, and leaves it', async () => {
    await host.bulkhead([
      'run',
      '-d',
      '--name',
      'talker',
      '--kernel-arg',
      'loglevel=7',
      image,
      'sleep',
      '1000',
    ])
    const terminal = host.terminal(['console', 'talker'])
    await terminal.said('Linux version')
    terminal.type('\x1d')
    expect((await terminal.finish()).status).toBe(0)
    expect((await host.bulkhead(['rm', '-f', 'talker'])).status).toBe(0)
  })
})
