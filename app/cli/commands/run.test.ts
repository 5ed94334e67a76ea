import { createHash, randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Job } from '../../../core/api/methods.ts'
import {
  type MethodHandler,
  type Script,
  ScriptedFailure,
  type StreamHandler,
} from '../../../core/client/scripted-core.fixture.ts'
import { runCommand, setUpForEach, startCommand, startInTerminal } from '../command-line.fixture.ts'

const id = 'ab'.repeat(32)
const { folder, start } = setUpForEach()
const warning = 'This host has no clock of its own: times in the guest may be wrong'

/** A core host with one image, whose guest does on its stream what `handler` does. */
const coreWith = async (handler: StreamHandler, methods: Script['methods'] = {}, script: Script = {}) =>
  await start({
    ...script,
    methods: {
      'guests.create': () => ({ id, name: 'quiet-keel', warnings: [warning] }),
      'streams.open': () => ({ ticket: 't' }),
      'guests.start': () => ({}),
      ...methods,
    },
    streams: { t: handler },
  })
const exited = (code: number) => ({
  reason: 'exited',
  code,
  message: `The program ended with status ${code}`,
})

describe('bulkhead run', () => {
  it('keeps stdout and stderr apart, byte for byte, and passes the status on', async () => {
    const noise = Buffer.concat([randomBytes(200_000), Buffer.from('\r\n\0\xff')])
    const { socketPath, calls } = await coreWith(async (peer) => {
      for (let at = 0; at < noise.length; at += 50_000)
        peer.send('data', 1, at, noise.subarray(at, at + 50_000))
      peer.send('data', 2, 0, 'no\n')
      peer.exit(exited(7))
    })
    const { child, finish } = startCommand(['run', '--rm', 'busybox', 'sh', '-c', 'exit 7'], { socketPath })
    const hash = createHash('sha256')
    child.stdout?.on('data', (chunk: Buffer) => hash.update(chunk))
    expect(await finish()).toMatchObject({ status: 7, stderr: 'no\n' })
    expect(hash.digest('hex')).toBe(createHash('sha256').update(noise).digest('hex'))
    expect(calls.map(({ method }) => method)).toEqual(['guests.create', 'streams.open', 'guests.start'])
    expect(calls[0]?.params).toMatchObject({
      image: 'busybox',
      autoRemove: true,
      process: { command: ['sh', '-c', 'exit 7'], terminal: false, stdin: false },
    })
    expect(calls[1]?.params).toEqual({
      kind: 'stdio',
      guest: id,
      lossless: true,
      stdin: false,
      from: 'start',
    })
  })

  it('is attached before the program starts', async () => {
    const attached = Promise.withResolvers<void>()
    const started = Promise.withResolvers<void>()
    const { socketPath } = await coreWith(
      async (peer) => {
        attached.resolve()
        await started.promise
        peer.send('data', 1, 0, 'fast\n')
        peer.exit(exited(0))
      },
      {
        'guests.start': async () => {
          await attached.promise
          started.resolve()
          return {}
        },
      },
    )
    expect(await runCommand(['run', 'busybox'], { socketPath })).toMatchObject({
      status: 0,
      stdout: 'fast\n',
    })
  })

  it('sends stdin to its end with -i', async () => {
    const input = randomBytes(5_000_000)
    const { socketPath } = await coreWith(async (peer) => {
      const hash = createHash('sha256')
      for (let frame = await peer.next(); frame?.kind === 'data'; frame = await peer.next()) {
        hash.update(frame.payload)
        peer.send('ack', 0, frame.offset + frame.payload.length)
      }
      peer.send('data', 1, 0, hash.digest('hex'))
      peer.exit(exited(0))
    })
    const { stdout } = await runCommand(['run', '-i', 'busybox', 'sha256sum'], { socketPath, input })
    expect(stdout).toBe(createHash('sha256').update(input).digest('hex'))
  })

  it('leaves stdin alone without -i', async () => {
    const { socketPath } = await coreWith((peer) => peer.exit(exited(0)))
    const { child, finish } = startCommand(['run', 'busybox'], { socketPath, input: 'for somebody else\n' })
    expect((await finish()).status).toBe(0)
    expect(child.stdin?.destroyed).toBe(true)
  })

  it.each([
    ['exec-failed', 127, 'Cannot run "nosuch": no such file or directory, or not in PATH'],
    ['exec-failed', 126, 'Cannot run "/etc": it is a folder'],
    ['failed', 125, 'Cannot set the guest up, step "mount-root": no such device'],
    ['crashed', 125, 'The guest crashed: its kernel panicked'],
  ])('says what the program could not: %s %i', async (reason, code, message) => {
    const { socketPath } = await coreWith((peer) => peer.exit({ reason, code, message }))
    const { status, stderr } = await runCommand(['run', 'busybox', 'nosuch'], { socketPath })
    expect([status, stderr]).toEqual([code, `bulkhead: ${message}\n`])
  })

  it('waits for the end of a guest whose program never ran, and says why once', async () => {
    const message = 'Cannot run "nosuch": no such file or directory, or not in PATH'
    const failed = Promise.withResolvers<void>()
    const { socketPath, calls } = await coreWith(
      async (peer) => {
        await failed.promise
        peer.exit({ reason: 'exec-failed', code: 127, message })
      },
      {
        'guests.start': () => {
          setImmediate(failed.resolve)
          throw new ScriptedFailure({ code: 'guest.exec-failed', message, data: { exitCode: 127 } })
        },
        'guests.remove': () => ({}),
      },
    )
    const { status, stderr } = await runCommand(['run', '--rm', 'busybox', 'nosuch'], { socketPath })
    expect([status, stderr]).toEqual([127, `bulkhead: ${message}\n`])
    expect(calls.map(({ method }) => method)).not.toContain('guests.remove')
  })

  it('says nothing of its own when a signal ended the program', async () => {
    const { socketPath } = await coreWith((peer) =>
      peer.exit({ reason: 'signalled', signal: 9, code: 137, message: 'The program was ended by SIGKILL' }),
    )
    expect(await runCommand(['run', 'busybox'], { socketPath })).toMatchObject({ status: 137, stderr: '' })
  })

  it('passes signals on to the program', async () => {
    const seen: number[] = []
    const ready = Promise.withResolvers<void>()
    const { socketPath } = await coreWith(async (peer) => {
      peer.send('data', 1, 0, 'up\n')
      ready.resolve()
      for (const _ of 'four') {
        const frame = await peer.nextOf('signal')
        seen.push(new DataView(Uint8Array.from(frame?.payload ?? []).buffer).getInt32(0, true))
        peer.send('data', 1, 3 * seen.length, 'ok\n')
      }
      peer.exit({ reason: 'signalled', signal: 15, code: 143, message: '' })
    })
    const { child, finish } = startCommand(['run', 'busybox'], { socketPath })
    await ready.promise
    const signals = ['SIGHUP', 'SIGUSR1', 'SIGWINCH', 'SIGTERM'] as const
    let sent = 0
    child.stdout?.on('data', () => {
      const signal = signals[sent++]
      if (signal !== undefined) child.kill(signal)
    })
    expect((await finish()).status).toBe(143)
    expect(seen).toEqual([1, 10, 28, 15])
  })

  it('leaves after the third signal to end, and says that the guest goes on', async () => {
    const { socketPath } = await coreWith(async (peer) => {
      peer.send('data', 1, 0, 'up\n')
      for (let count = 0; await peer.nextOf('signal'); count++) peer.send('data', 1, 3 + count, '.')
    })
    const { child, finish } = startCommand(['run', 'busybox'], { socketPath })
    child.stdout?.on('data', () => child.kill('SIGINT'))
    const { status, stderr } = await finish()
    expect(status).toBe(125)
    expect(stderr).toContain('guest "quiet-keel" goes on running')
  })

  it('ends in one sentence when nobody reads its output any more', async () => {
    const { socketPath } = await coreWith(async (peer) => {
      let offset = 0
      do {
        peer.send('data', 1, offset, 'y\n'.repeat(1000))
        offset += 2000
      } while ((await peer.nextOf('ack')) !== undefined)
    })
    const { child, finish } = startCommand(['run', 'busybox', 'yes'], { socketPath })
    await new Promise((resolve) => child.stdout?.once('data', resolve))
    child.stdout?.destroy()
    const { status, stderr } = await finish()
    expect(status).toBe(125)
    expect(stderr).toBe(
      'bulkhead: Cannot write the output of guest "quiet-keel": nobody reads it any more\n' +
        '  The guest goes on running. End it with: bulkhead kill quiet-keel\n',
    )
  })

  it('lets the program wait for a reader that is slow', async () => {
    let sent = 0
    const stalled = Promise.withResolvers<void>()
    const { socketPath } = await coreWith(
      async (peer) => {
        let acknowledged = 0
        while (sent < 8_000_000) {
          while (sent + 50_000 - acknowledged > 100_000) {
            const wait = setTimeout(() => stalled.resolve(), 300)
            acknowledged = (await peer.nextOf('ack'))?.offset ?? 0
            clearTimeout(wait)
          }
          peer.send('data', 1, sent, Buffer.alloc(50_000, 'x'))
          sent += 50_000
        }
        peer.exit(exited(0))
      },
      {},
      { windowBytes: 100_000 },
    )
    const { child, finish } = startCommand(['run', 'busybox'], { socketPath })
    child.stdout?.pause()
    await stalled.promise
    expect(sent).toBeLessThan(1_000_000)
    child.stdout?.resume()
    const { status, stdout } = await finish()
    expect([status, stdout.length]).toEqual([0, 8_000_000])
  })

  it('prints the id and does not wait with -d', async () => {
    const { socketPath, calls } = await coreWith(() => {})
    expect(await runCommand(['run', '-d', '--name', 'web', 'busybox'], { socketPath })).toMatchObject({
      status: 0,
      stdout: `${id}\n`,
      stderr: '',
    })
    expect(calls.map(({ method }) => method)).toEqual(['guests.create', 'guests.start'])
  })

  it('writes the id to a new file with --cidfile, and refuses one that is there', async () => {
    const files = folder()
    const path = join(files, 'id')
    const { socketPath } = await coreWith(() => {})
    const words = ['run', '-d', '--cidfile', path, 'busybox']
    expect(await runCommand(words, { socketPath })).toMatchObject({ status: 0 })
    expect(readFileSync(path, 'utf8')).toBe(id)
    const other = join(files, 'other')
    await runCommand(['run', '-d', '--cidfile', other, 'busybox'], { socketPath: '/nowhere' })
    expect(existsSync(other)).toBe(false)
    const { status, stderr } = await runCommand(words, { socketPath })
    expect([status, stderr.split('\n')[0]]).toEqual([
      125,
      `bulkhead: Cannot write the guest's id to ${path}: the file is there already`,
    ])
  })

  it('removes a guest that cannot start with --rm, and says why it cannot', async () => {
    const { socketPath, calls } = await coreWith(() => {}, {
      'guests.start': () => {
        throw new ScriptedFailure({
          code: 'guest.no-memory',
          message: 'Cannot start guest "quiet-keel": Xen has 312 MiB free, 512 MiB needed',
          hint: 'Stop a guest, or give this one less with -m.',
        })
      },
      'guests.remove': () => ({}),
    })
    expect(await runCommand(['run', '--rm', 'busybox'], { socketPath })).toMatchObject({
      status: 125,
      stderr:
        'bulkhead: Cannot start guest "quiet-keel": Xen has 312 MiB free, 512 MiB needed\n' +
        '  Stop a guest, or give this one less with -m.\n',
    })
    expect(calls.at(-1)).toEqual({ method: 'guests.remove', params: { guest: id, force: true } })
  })

  it('ends in one sentence when the core host dies in mid-stream', async () => {
    const core = await coreWith((peer) => {
      peer.send('data', 1, 0, 'some\n')
    })
    const { child, finish } = startCommand(['run', 'busybox'], { socketPath: core.socketPath })
    child.stdout?.once('data', () => core.die())
    const { status, stdout, stderr } = await finish()
    expect([status, stdout]).toEqual([125, 'some\n'])
    expect(stderr.split('\n')).toHaveLength(3)
    expect(stderr).toMatch(/^bulkhead: The .* (was lost|broke off)\n {2}.*bulkhead ps/)
  })

  it('leaves no guest behind that was to be removed when it is interrupted before the start', async () => {
    const opening = Promise.withResolvers<void>()
    const { socketPath, calls } = await coreWith(() => {}, {
      'streams.open': (_params, token) => {
        opening.resolve()
        return new Promise((resolve) => token.onCancellationRequested(() => resolve({ ticket: 't' })))
      },
      'guests.remove': () => ({}),
    })
    const { child, finish } = startCommand(['run', '--rm', 'busybox'], { socketPath })
    await opening.promise
    child.kill('SIGTERM')
    expect(await finish()).toMatchObject({ status: 143, stderr: 'bulkhead: Interrupted\n' })
    expect(calls.map(({ method }) => method)).toEqual(['guests.create', 'streams.open', 'guests.remove'])
  })

  it('refuses a terminal for a program whose stdin is none', async () => {
    const { socketPath } = await coreWith(() => {})
    const { status, stderr } = await runCommand(['run', '-it', 'busybox', 'sh'], { socketPath })
    expect(status).toBe(125)
    expect(stderr).toContain('standard input is no terminal\n  Drop -t')
  })
})

describe('bulkhead run, of an image that is not there', () => {
  const notFound: MethodHandler = () => {
    throw new ScriptedFailure({ code: 'oci.not-found', message: 'No image is called "busybox"' })
  }
  const job: Job = {
    id: 'j',
    kind: 'pull',
    title: 'Pull busybox',
    state: 'done',
    startedAt: '2026-11-24T06:00:00.000Z',
    progress: { phase: 'download', bytesDone: 0, bytesTotal: 0, layers: [] },
    references: ['docker.io/library/busybox:latest'],
  }
  const registry = (methods: Script['methods'] = {}) => {
    let isPulled = false
    return coreWith((peer) => peer.exit(exited(0)), {
      'guests.create': (params, token) =>
        isPulled ? { id, name: 'quiet-keel', warnings: [] } : notFound(params, token),
      'images.pull': () => {
        isPulled = true
        return { job: 'j' }
      },
      'jobs.get': () => job,
      'events.subscribe': () => ({ revision: 0 }),
      ...methods,
    })
  }

  it('pulls it, silently where nobody looks on', async () => {
    const { socketPath, calls } = await registry()
    expect(await runCommand(['run', 'busybox'], { socketPath })).toMatchObject({
      status: 0,
      stdout: '',
      stderr: '',
    })
    expect(calls.map(({ method }) => method)).toContain('images.pull')
  })

  it('does not with --pull never', async () => {
    const { socketPath, calls } = await registry()
    const { status, stderr } = await runCommand(['run', '--pull', 'never', 'busybox'], { socketPath })
    expect([status, stderr]).toEqual([125, 'bulkhead: No image is called "busybox"\n'])
    expect(calls.map(({ method }) => method)).toEqual(['guests.create'])
  })

  it('pulls first with --pull always', async () => {
    const { socketPath, calls } = await registry()
    await runCommand(['run', '--pull', 'always', 'busybox'], { socketPath })
    expect(calls.map(({ method }) => method).filter((method) => /pull|create/.test(method))).toEqual([
      'images.pull',
      'guests.create',
    ])
  })

  it('sends what was said about the way to the registry', async () => {
    const { socketPath, calls } = await registry()
    const words = ['--platform', 'linux/386', '--plain-http', '--trust-realm', 'a.io']
    await runCommand(['run', '--pull', 'always', ...words, 'busybox'], { socketPath })
    expect(calls.find(({ method }) => method === 'images.pull')?.params).toEqual({
      reference: 'busybox',
      platform: 'linux/386',
      plainHttp: true,
      trustedRealms: ['a.io'],
    })
  })

  it.each([
    ['linux/386', ['images.inspect', 'images.pull', 'guests.create']],
    ['linux/amd64', ['images.inspect', 'guests.create']],
  ])('pulls it with --platform %s where what is here is for linux/amd64', async (platform, methods) => {
    const { socketPath, calls } = await coreWith((peer) => peer.exit(exited(0)), {
      'images.inspect': () => ({ platform: 'linux/amd64' }),
      'images.pull': () => ({ job: 'j' }),
      'jobs.get': () => job,
      'events.subscribe': () => ({ revision: 0 }),
    })
    expect((await runCommand(['run', '--platform', platform, 'busybox'], { socketPath })).status).toBe(0)
    expect(calls.map(({ method }) => method).filter((method) => /^images|create/.test(method))).toEqual(
      methods,
    )
  })

  it('passes on why it cannot be pulled', async () => {
    const error = { code: 'oci.offline', message: 'Cannot pull busybox: no network' }
    const { socketPath } = await registry({ 'jobs.get': () => ({ ...job, state: 'failed', error }) })
    const { status, stderr } = await runCommand(['run', 'busybox'], { socketPath })
    expect([status, stderr]).toEqual([125, 'bulkhead: Cannot pull busybox: no network\n'])
  })

  it('gives the pull up at Ctrl-C', async () => {
    const asked = Promise.withResolvers<void>()
    const { socketPath, calls } = await registry({
      'jobs.get': () => {
        asked.resolve()
        return { ...job, state: 'running' }
      },
      'jobs.leave': () => ({ ended: true }),
    })
    const { child, finish } = startCommand(['run', 'busybox'], { socketPath })
    await asked.promise
    child.kill('SIGINT')
    expect(await finish()).toMatchObject({
      status: 130,
      stderr: 'bulkhead: Interrupted: the pull was ended; what has come is kept\n',
    })
    expect(calls.at(-1)?.method).toBe('jobs.leave')
  })
})

describe('bulkhead run -it', () => {
  it('shows the terminal, passes keys and size on, and leaves by Ctrl-]', async () => {
    const typed: string[] = []
    const size = Promise.withResolvers<string>()
    const hungUp = Promise.withResolvers<void>()
    const { socketPath, calls } = await coreWith(async (peer) => {
      peer.send('data', 1, 0, 'a\nb\r\n / # ')
      for (let frame = await peer.next(); frame !== undefined; frame = await peer.next()) {
        if (frame.kind === 'resize') size.resolve(Buffer.from(frame.payload).toString('hex'))
        if (frame.kind !== 'data') continue
        typed.push(Buffer.from(frame.payload).toString())
        peer.send('ack', 0, frame.offset + frame.payload.length)
        peer.send('data', 1, 10, 'typed')
      }
      hungUp.resolve()
    })
    const terminal = startInTerminal(['run', '-it', 'busybox', 'sh'], { socketPath })
    await terminal.said('/ # ')
    expect(await size.promise).toBe('28008400')
    terminal.type('ls\x03\r')
    await terminal.said('typed')
    terminal.type('\x1d')
    const { status, stdout } = await terminal.finish()
    await hungUp.promise
    expect(stdout).toContain('a\nb\r\n / # ')
    expect(typed.join('')).toBe('ls\x03\r')
    expect(status).toBe(0)
    expect(stdout).toContain(
      'Detached. Guest "quiet-keel" goes on running; come back with: bulkhead attach quiet-keel',
    )
    expect(stdout).toContain(warning)
    expect(calls[0]?.params).toMatchObject({
      process: { terminal: true, stdin: true, rows: 40, columns: 132 },
    })
    expect(calls[1]?.params).toMatchObject({ lossless: false })
  })

  it('says once what a person needs to hear once, and never with -q', async () => {
    const { socketPath } = await coreWith((peer) => peer.exit(exited(0)))
    const home = folder()
    const screens: boolean[] = []
    for (const words of [
      ['run', '-q', '-it', 'busybox'],
      ['run', '-it', 'busybox'],
      ['run', '-it', 'busybox'],
    ]) {
      const { stdout } = await startInTerminal(words, { socketPath, environment: { HOME: home } }).finish()
      screens.push(stdout.includes(warning))
    }
    expect(screens).toEqual([false, true, false])
  })

  it('gives the terminal back as it was', async () => {
    const { socketPath } = await coreWith((peer) => peer.exit(exited(3)))
    const terminal = startInTerminal(['run', '-it', 'busybox'], { socketPath })
    expect((await terminal.finish()).status).toBe(3)
  })
})
