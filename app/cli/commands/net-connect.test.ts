import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { ScriptedFailure, type StreamHandler } from '../../../core/client/scripted-core.fixture.ts'
import { runCommand, setUpForEach, startCommand } from '../command-line.fixture.ts'

const { start } = setUpForEach()

describe('bulkhead net connect', () => {
  const coreWith = async (handler: StreamHandler) =>
    await start({
      kind: 'connect',
      methods: { 'network.connect': () => ({ ticket: 't' }) },
      streams: { t: handler },
    })

  it('carries both directions, and the end of ours', async () => {
    const { socketPath, calls } = await coreWith(async (peer) => {
      const data = await peer.nextOf('data')
      expect(await peer.nextOf('end')).toMatchObject({ stream: 0, offset: 4 })
      peer.send('data', 1, 0, `got ${Buffer.from(data?.payload ?? []).toString()}`)
      peer.send('end', 1, 8)
      peer.socket.end()
    })
    expect(await runCommand(['net', 'connect', 'web', '80'], { socketPath, input: 'ask\n' })).toMatchObject({
      status: 0,
      stdout: 'got ask\n',
      stderr: '',
    })
    expect(calls[0]?.params).toEqual({ guest: 'web', port: 80 })
  })

  it('goes on sending after the guest has ended its side, which closes our output', async () => {
    const input = new PassThrough()
    const { socketPath } = await coreWith(async (peer) => {
      peer.send('data', 1, 0, 'bye')
      peer.send('end', 1, 3)
      const data = await peer.nextOf('data')
      expect(Buffer.from(data?.payload ?? []).toString()).toBe('still here')
      await peer.nextOf('end')
      peer.socket.end()
    })
    const { child, finish } = startCommand(['net', 'connect', 'web', '80'], { socketPath, input })
    child.stdout?.on('end', () => input.end('still here'))
    expect(await finish()).toMatchObject({ status: 0, stdout: 'bye', stderr: '' })
  })

  it('says what broke the connection', async () => {
    const { socketPath } = await coreWith((peer) => {
      const error = { code: 'net.connection-reset', message: 'Guest "web" broke the connection to port 80' }
      peer.send('data', 1, 0, 'half')
      peer.send('error', 0, 0, JSON.stringify(error))
      peer.socket.end()
    })
    const input = new PassThrough()
    const { status, stdout, stderr } = await runCommand(['net', 'connect', 'web', '80'], {
      socketPath,
      input,
    })
    expect([status, stdout]).toEqual([1, 'half'])
    expect(stderr).toBe('bulkhead: Guest "web" broke the connection to port 80\n')
  })

  it('says that nobody listens', async () => {
    const { socketPath } = await start({
      methods: {
        'network.connect': () => {
          throw new ScriptedFailure({
            code: 'net.refused',
            message: 'Cannot connect to port 80 of guest "web": it was refused',
          })
        },
      },
    })
    expect(await runCommand(['net', 'connect', 'web', '80'], { socketPath })).toMatchObject({
      status: 1,
      stderr: 'bulkhead: Cannot connect to port 80 of guest "web": it was refused\n',
    })
  })

  it('ends at Ctrl+C', async () => {
    const { child, finish } = startCommand(['net', 'connect', 'web', '80'], {
      socketPath: (await coreWith(() => void child.kill('SIGINT'))).socketPath,
      input: new PassThrough(),
    })
    expect(await finish()).toMatchObject({ status: 130, stderr: 'bulkhead: Interrupted\n' })
  })

  it.each(['0', '65536', 'http', '53/udp'])('refuses the port %j', async (port) => {
    const { status, stderr } = await runCommand(['net', 'connect', 'web', port])
    expect(status).toBe(2)
    expect(stderr).toContain(`bulkhead: Cannot connect to port "${port}": ports go from 1 to 65535\n`)
  })
})
