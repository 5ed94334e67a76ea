import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { StreamHandler } from '../../../core/client/scripted-core.fixture.ts'
import { runCommand, setUpForEach, startCommand, startInTerminal } from '../command-line.fixture.ts'
import { captureStart, enhancedPacket, statistics } from '../network/capture-samples.fixture.ts'

const { folder, start } = setUpForEach()

describe('bulkhead net capture', () => {
  const coreWith = async (handler: StreamHandler) =>
    await start({
      kind: 'capture',
      methods: { 'network.capture': () => ({ ticket: 't' }) },
      streams: { t: handler },
    })
  const whole = Buffer.concat([captureStart(), enhancedPacket(60), enhancedPacket(1514)])

  it('writes a file that is its owner’s alone', async () => {
    const capture = Buffer.concat([whole, statistics(3)])
    const { socketPath, calls } = await coreWith((peer) => {
      for (let at = 0; at < capture.length; at += 100)
        peer.send('data', 1, at, capture.subarray(at, at + 100))
      peer.send('end', 1, capture.length)
      peer.socket.end()
    })
    const path = join(folder(), 'web.pcapng')
    const words = ['net', 'capture', 'web', '-w', path, '-s', '96', '--limit', '1m']
    expect(await runCommand(words, { socketPath })).toMatchObject({
      status: 0,
      stdout: '',
      stderr: '2 frames captured, 3 more had no room; it ended by itself, at its limit or with the guest\n',
    })
    expect(readFileSync(path).equals(capture)).toBe(true)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(calls[0]?.params).toEqual({ guest: 'web', frameBytes: 96, limitBytes: 1048576 })
  })

  it('ends at Ctrl+C with what was captured until then', async () => {
    const { child, finish } = startCommand(['net', 'capture', 'web'], {
      socketPath: (
        await coreWith(async (peer) => {
          peer.send('data', 1, 0, whole.subarray(0, whole.length - 20))
          child.kill('SIGINT')
          expect(await peer.nextOf('end')).toMatchObject({ stream: 0, offset: 0 })
          peer.send('data', 1, whole.length - 20, whole.subarray(whole.length - 20))
          peer.send('end', 1, whole.length)
          peer.socket.end()
        })
      ).socketPath,
    })
    const { status, signal, stdout, stderr } = await finish()
    expect([status, signal, stderr]).toEqual([0, null, '2 frames captured\n'])
    expect(stdout).toBe(whole.toString())
  })

  it('leaves no half of a frame when the core host dies', async () => {
    const { socketPath } = await coreWith((peer) => {
      peer.send('data', 1, 0, whole.subarray(0, whole.length - 20))
      peer.socket.destroySoon()
    })
    const path = join(folder(), 'web.pcapng')
    writeFileSync(path, 'older and longer'.repeat(1000))
    const { status, stderr } = await runCommand(['net', 'capture', 'web', '-w', path], { socketPath })
    expect(status).toBe(1)
    expect(stderr).toMatch(/^1 frame captured\nbulkhead: The stream from .* broke off\n/)
    expect(readFileSync(path).equals(Buffer.concat([captureStart(), enhancedPacket(60)]))).toBe(true)
  })

  it('does not write to a terminal', async () => {
    const { status, stdout } = await startInTerminal(['net', 'capture', 'web']).finish()
    expect(status).toBe(1)
    expect(stdout).toContain('Cannot write a capture to standard output: it is a terminal')
    expect(stdout).toContain('bulkhead net capture web | tshark -r -')
  })

  it.each([
    [['-s', '10'], 'Cannot keep "10" bytes of each frame: write a number from 64 to 65600'],
    [['--limit', '1t'], 'Cannot use the size "1t": write one from 4k to 64g'],
  ])('refuses %j', async (words, sentence) => {
    const { status, stderr } = await runCommand(['net', 'capture', 'web', ...words])
    expect([status, stderr.split('\n')[0]]).toEqual([2, `bulkhead: ${sentence}`])
  })

  it('says why a file cannot be written', async () => {
    const { socketPath } = await coreWith(() => {})
    const path = join(folder(), 'missing', 'web.pcapng')
    expect(await runCommand(['net', 'capture', 'web', '-w', path], { socketPath })).toMatchObject({
      status: 1,
      stderr: `bulkhead: Cannot write the capture to ${path}: its folder does not exist\n`,
    })
  })
})
