import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { GuestDetails, ImageSummary, Job } from '../../../core/api/methods.ts'
import {
  type MethodHandler,
  type Script,
  ScriptedFailure,
} from '../../../core/client/scripted-core.fixture.ts'
import { runCommand, setUpForEach, startCommand, startInTerminal } from '../command-line.fixture.ts'
import { job, jobs } from './image-samples.fixture.ts'

const { folder, start } = setUpForEach()
const onlyWeb: MethodHandler = ({ guest }) => {
  if (guest === 'web') return {}
  throw new ScriptedFailure({
    code: 'guest.not-found',
    message: `No guest is called "${String(guest)}"`,
    hint: '"bulkhead ps -a" lists all guests.',
  })
}
const noSuch = (name: string) =>
  `bulkhead: No guest is called "${name}"\n  "bulkhead ps -a" lists all guests.\n`

describe('verbs for several guests', () => {
  it.each<[string, keyof NonNullable<Script['methods']>]>([
    ['stop', 'guests.stop'],
    ['kill', 'guests.kill'],
    ['pause', 'guests.pause'],
    ['unpause', 'guests.unpause'],
    ['rm', 'guests.remove'],
  ])('%s tries each, prints those that it did, and fails for the others', async (verb, method) => {
    const { socketPath, calls } = await start({ methods: { [method]: onlyWeb } })
    expect(await runCommand([verb, 'nobody', 'web'], { socketPath })).toMatchObject({
      status: 1,
      stdout: 'web\n',
      stderr: noSuch('nobody'),
    })
    expect(calls).toHaveLength(2)
  })

  it('wait prints statuses', async () => {
    const { socketPath } = await start({
      methods: { 'guests.wait': ({ guest }) => ({ code: guest === 'a' ? 0 : 7 }) },
    })
    expect(await runCommand(['wait', 'a', 'b'], { socketPath })).toMatchObject({
      status: 0,
      stdout: '0\n7\n',
    })
  })

  it('inspect prints an array of those that it found', async () => {
    const { socketPath } = await start({ methods: { 'guests.inspect': onlyWeb } })
    expect(await runCommand(['inspect', 'web', 'nobody'], { socketPath })).toMatchObject({
      status: 1,
      stdout: '[\n  {}\n]\n',
      stderr: noSuch('nobody'),
    })
  })

  it('passes on how long and with what to stop', async () => {
    const { socketPath, calls } = await start({ methods: { 'guests.stop': () => ({}) } })
    await runCommand(['stop', '-t', '60', '-s', 'INT', 'web'], { socketPath })
    expect(calls[0]?.params).toEqual({ guest: 'web', timeoutSeconds: 60, signal: 'INT' })
  })
})

describe('lists', () => {
  const image: ImageSummary = {
    reference: 'docker.io/library/busybox:1.36',
    digest: `sha256:${'ab'.repeat(32)}`,
    sizeBytes: 4_261_502,
    platform: 'linux/amd64',
    usedBy: [],
  }
  it('images is a table, ids, or JSON', async () => {
    const twice = [image, { ...image, reference: 'localhost:5000/other:1' }]
    const { socketPath } = await start({ methods: { 'images.list': () => twice } })
    expect((await runCommand(['images'], { socketPath })).stdout).toBe(
      'REPOSITORY             TAG    IMAGE ID       CREATED   SIZE\n' +
        'busybox                1.36   abababababab   N/A       4.26MB\n' +
        'localhost:5000/other   1      abababababab   N/A       4.26MB\n',
    )
    expect((await runCommand(['images', '-q'], { socketPath })).stdout).toBe('abababababab\n')
    expect(JSON.parse((await runCommand(['images', '--json'], { socketPath })).stdout)).toEqual(twice)
  })

  it('ends quietly when nobody reads it any more', async () => {
    const { socketPath } = await start({
      methods: { 'host.dmesg': () => ({ text: 'line\n'.repeat(400_000) }) },
    })
    const { child, finish } = startCommand(['host', 'dmesg'], { socketPath })
    await new Promise((resolve) => child.stdout?.once('data', resolve))
    child.stdout?.destroy()
    expect(await finish()).toMatchObject({ status: 141, stderr: '' })
  })

  it('shows checks with what to do, and fails where one did', async () => {
    const checks = [
      { id: 'xen', title: 'Xen', passed: true, detail: '4.17' },
      { id: 'kvm', title: 'Space', passed: false, detail: '12 MiB are free', fix: 'Remove images.' },
    ]
    const { socketPath } = await start({ methods: { 'host.check': () => checks } })
    expect(await runCommand(['host', 'check'], { socketPath })).toMatchObject({
      status: 1,
      stdout: 'ok   Xen: 4.17\nFAIL Space: 12 MiB are free\n     Remove images.\n',
    })
  })
})

describe('hosts that are not there', () => {
  it.each([
    ['unix:///nowhere/core.sock', 'there is no socket at /nowhere/core.sock'],
    ['ssh://there', 'it is none of unix:///PATH, a path, lab and lab:NAME'],
    ['lab', 'The lab is not running'],
  ])('%s: one sentence and status 1', async (host, sentence) => {
    const { status, stdout, stderr } = await runCommand(['--host', host, 'ps'])
    expect([status, stdout]).toEqual([1, ''])
    expect(stderr).toContain(sentence)
    expect(stderr.trim().split('\n')).toHaveLength(2)
  })

  it('takes --host behind the verb too, and before BULKHEAD_HOST', async () => {
    const { socketPath } = await start({ methods: { 'guests.list': () => [] } })
    const words = ['ps', '-q', '--host', socketPath]
    expect(await runCommand(words, { socketPath: '/nowhere' })).toMatchObject({ status: 0, stdout: '' })
  })
})

describe('usage errors', () => {
  it.each([
    [['nosuch'], 2],
    [['ps', '--nosuch'], 2],
    [['stop'], 2],
    [['ps', 'word'], 2],
    [['--nosuch'], 2],
    [['run'], 125],
    [['run', '--nosuch', 'x'], 125],
  ])('%j ends with %i', async (words, status) => {
    const finished = await runCommand(words)
    expect([finished.status, finished.stdout]).toEqual([status, ''])
    expect(finished.stderr).toMatch(/^bulkhead: .+\n {2}.+\n$/)
  })
})

describe('help', () => {
  it.each([
    [[], 'Usage: bulkhead [--host HOST] COMMAND'],
    [['help'], 'Usage: bulkhead [--host HOST] COMMAND'],
    [['--help'], 'Usage: bulkhead [--host HOST] COMMAND'],
    [['help', 'run'], 'Usage: bulkhead run'],
    [['run', '--help'], 'Usage: bulkhead run'],
    [['--help', 'ps'], 'Usage: bulkhead ps'],
    [['help', 'lab'], 'Usage: bulkhead lab COMMAND'],
    [['lab', '--help'], 'Usage: bulkhead lab COMMAND'],
    [['lab', 'up', '-h'], 'Usage: bulkhead lab up'],
  ])('%j goes to stdout', async (words, usage) => {
    const { status, stdout, stderr } = await runCommand(words)
    expect([status, stdout.slice(0, usage.length), stderr]).toEqual([0, usage, ''])
  })
})

describe('bulkhead pull', () => {
  it("sends the user's credentials for that registry, and prints the reference", async () => {
    const config = folder()
    const auth = Buffer.from('me:secret').toString('base64')
    writeFileSync(join(config, 'config.json'), JSON.stringify({ auths: { 'ghcr.io': { auth } } }), {
      mode: 0o600,
    })
    const { socketPath, calls } = await start({ methods: { ...jobs(), 'images.pull': () => ({ job: 'j' }) } })
    expect(
      await runCommand(['pull', 'ghcr.io/a/app:1'], { socketPath, environment: { DOCKER_CONFIG: config } }),
    ).toMatchObject({ status: 0, stdout: 'docker.io/library/app:1\n', stderr: '' })
    expect(calls.find(({ method }) => method === 'images.pull')?.params).toEqual({
      reference: 'ghcr.io/a/app:1',
      credentials: { username: 'me', password: 'secret' },
    })
  })

  it('draws its progress on a terminal', async () => {
    const running: Job = { ...job, state: 'running', title: 'Pull app:1' }
    const progress = { ...job.progress, phase: 'download', bytesDone: 5000, bytesTotal: 10_000 }
    const core = await start({
      methods: {
        ...jobs(),
        'images.pull': () => ({ job: 'j' }),
        'jobs.get': () => {
          setImmediate(() => {
            core.notify(1, { type: 'job', job: { ...running, progress } })
            core.notify(2, { type: 'job', job })
          })
          return running
        },
      },
    })
    const { stdout } = await startInTerminal(['pull', 'app:1'], { socketPath: core.socketPath }).finish()
    expect(stdout).toContain('Pull app:1: downloading 5kB/10kB\x1b[K\r\n')
    expect(stdout.endsWith('docker.io/library/app:1\r\n')).toBe(true)
  })
})

describe('bulkhead import', () => {
  /** A core host that keeps what is sent to it. */
  const importer = async (finishedJob: Partial<Job> = {}) => {
    const chunks: Buffer[] = []
    const ended = Promise.withResolvers<void>()
    const core = await start({
      kind: 'import',
      methods: {
        'images.import': () => ({ job: 'j', ticket: 't' }),
        'events.subscribe': () => ({ revision: 0 }),
        'jobs.get': async () => {
          if (finishedJob.state !== 'failed') await ended.promise
          return { ...job, ...finishedJob }
        },
      },
      streams: {
        t: async (peer) => {
          for (let frame = await peer.next(); frame?.kind === 'data'; frame = await peer.next()) {
            chunks.push(Buffer.from(frame.payload))
            peer.send('ack', 0, frame.offset + frame.payload.length)
          }
          ended.resolve()
          peer.socket.end()
        },
      },
    })
    return { ...core, received: () => Buffer.concat(chunks) }
  }
  const archive = Buffer.alloc(3_000_000, 'archive')

  it('sends a file, with its size', async () => {
    const path = join(folder(), 'image.tar')
    writeFileSync(path, archive)
    const { socketPath, calls, received } = await importer()
    expect(await runCommand(['import', '--name', 'app:1', path], { socketPath })).toMatchObject({
      status: 0,
      stdout: 'docker.io/library/app:1\n',
      stderr: '',
    })
    expect(calls[0]?.params).toEqual({ name: 'app:1', sizeBytes: archive.length })
    expect(received().equals(archive)).toBe(true)
  })

  it('sends standard input', async () => {
    const { socketPath, calls, received } = await importer()
    expect((await runCommand(['import', '-'], { socketPath, input: archive })).status).toBe(0)
    expect(calls[0]?.params).toEqual({})
    expect(received().equals(archive)).toBe(true)
  })

  it('sends a folder as the archive that tar would make of it', async () => {
    const layout = folder()
    mkdirSync(join(layout, 'blobs'))
    writeFileSync(join(layout, 'index.json'), '{}')
    writeFileSync(join(layout, 'blobs', 'one'), 'blob')
    const { socketPath, calls, received } = await importer()
    expect((await runCommand(['import', layout], { socketPath })).status).toBe(0)
    expect(calls[0]?.params).toEqual({ sizeBytes: received().length })
    expect(execFileSync('tar', ['-tf', '-'], { input: received() }).toString()).toBe(
      'index.json\nblobs/\nblobs/one\n',
    )
  })

  it('passes on why the archive is none', async () => {
    const path = join(folder(), 'image.tar')
    writeFileSync(path, archive)
    const error = { code: 'oci.bad-archive', message: 'Cannot import the archive: it holds no image' }
    const { socketPath } = await importer({ state: 'failed', error })
    expect(await runCommand(['import', path], { socketPath })).toMatchObject({
      status: 1,
      stdout: '',
      stderr: 'bulkhead: Cannot import the archive: it holds no image\n',
    })
  })

  it('says what it cannot read before it asks anybody', async () => {
    const { status, stderr } = await runCommand(['import', '/nowhere/image.tar'])
    expect([status, stderr]).toEqual([
      1,
      'bulkhead: Cannot import /nowhere/image.tar: there is no such file or folder\n',
    ])
  })
})

describe('bulkhead logs', () => {
  it('keeps stdout and stderr apart and asks for what is wanted', async () => {
    const { socketPath, calls } = await start({
      kind: 'logs',
      methods: { 'streams.open': () => ({ ticket: 't' }) },
      streams: {
        t: (peer) => {
          peer.send('data', 1, 100, 'out\n')
          peer.send('data', 2, 7, 'err\n')
          peer.send('end', 1, 104)
          peer.send('end', 2, 11)
          peer.socket.end()
        },
      },
    })
    expect(await runCommand(['logs', '-n', '5', 'web'], { socketPath })).toEqual({
      status: 0,
      signal: null,
      stdout: 'out\n',
      stderr: 'err\n',
    })
    expect(calls[0]?.params).toEqual({
      kind: 'logs',
      guest: 'web',
      source: 'stdio',
      follow: false,
      tailLines: 5,
    })
  })
})

describe('bulkhead attach', () => {
  const details = (changes: Partial<GuestDetails>) => ({
    id: 'ab'.repeat(32),
    name: 'web',
    state: 'running',
    process: { terminal: false, stdin: true },
    ...changes,
  })

  it('connects to the program and takes its status', async () => {
    const { socketPath, calls } = await start({
      methods: { 'guests.inspect': () => details({}), 'streams.open': () => ({ ticket: 't' }) },
      streams: {
        t: async (peer) => {
          const frame = await peer.nextOf('data')
          peer.send('data', 1, 0, `got ${Buffer.from(frame?.payload ?? []).toString()}`)
          peer.exit({ reason: 'exited', code: 3, message: '' })
        },
      },
    })
    const { finish } = startCommand(['attach', 'web'], { socketPath, input: 'words\n' })
    expect(await finish()).toMatchObject({ status: 3, stdout: 'got words\n', stderr: '' })
    expect(calls[1]?.params).toEqual({ kind: 'stdio', guest: 'ab'.repeat(32), stdin: true, from: 'now' })
  })

  it('refuses a guest that does not run, and says what to do', async () => {
    const { socketPath } = await start({ methods: { 'guests.inspect': () => details({ state: 'exited' }) } })
    expect(await runCommand(['attach', 'web'], { socketPath })).toMatchObject({
      status: 1,
      stderr:
        'bulkhead: Cannot attach to guest "web": it is not running\n  See what it wrote with: bulkhead logs web\n',
    })
  })

  it('comes back to a terminal and leaves it again', async () => {
    const { socketPath } = await start({
      methods: {
        'guests.inspect': () =>
          details({ process: { terminal: true, stdin: true } as GuestDetails['process'] }),
        'streams.open': () => ({ ticket: 't' }),
      },
      streams: {
        t: (peer) => {
          peer.send('data', 1, 900, '/ # ')
        },
      },
    })
    const terminal = startInTerminal(['attach', 'web'], { socketPath })
    await terminal.said('/ # ')
    terminal.type('\x1d')
    const { status, stdout } = await terminal.finish()
    expect(status).toBe(0)
    expect(stdout).toContain('Attached to guest "web"; ctrl-] leaves it running.')
    expect(stdout).toContain('Detached.')
  })
})
