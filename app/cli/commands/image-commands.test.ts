import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { ImageDetails, ImageSummary, Job } from '../../../core/api/methods.ts'
import {
  type MethodHandler,
  type Script,
  ScriptedFailure,
  type StreamHandler,
  startScriptedCore,
} from '../../../core/client/scripted-core.fixture.ts'
import { runCommand, startCommand, startInTerminal } from '../command-line.fixture.ts'

let stack = new AsyncDisposableStack()
afterEach(async () => {
  await stack.disposeAsync()
  stack = new AsyncDisposableStack()
})
const start = async (script: Script) => stack.use(await startScriptedCore(script))
const folder = () => {
  const path = mkdtempSync(join(tmpdir(), 'bulkhead-images-'))
  stack.defer(() => rmSync(path, { recursive: true }))
  return path
}
const failure = (code: string, message: string) => () => {
  throw new ScriptedFailure({ code, message })
}
const digest = `sha256:${'ab'.repeat(32)}`
const summary: ImageSummary = {
  reference: 'docker.io/library/busybox:1.36',
  digest,
  sizeBytes: 4_261_502,
  platform: 'linux/amd64',
  usedBy: [],
}
const layer = (digits: string, more: Partial<ImageDetails['layers'][number]> = {}) => ({
  digest: `sha256:${digits.repeat(32)}`,
  diffId: `sha256:${digits.repeat(32)}`,
  sizeBytes: 2_000_000,
  mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
  ...more,
})
const details: ImageDetails = {
  ...summary,
  configDigest: digest,
  architecture: 'amd64',
  os: 'linux',
  layers: [
    layer('11', { entries: 400, contentBytes: 5_000_000 }),
    layer('22', { entries: 1, contentBytes: 12 }),
  ],
  history: [
    { createdBy: '/bin/sh -c #(nop) ADD file:1 in /', empty: false, comment: '' },
    { createdBy: 'ENV A=b', empty: true, comment: '' },
    { createdBy: `RUN ${'x'.repeat(60)}`, empty: false, comment: 'buildkit' },
  ],
  run: {
    entrypoint: [],
    command: [],
    env: [],
    cwd: '/',
    user: '',
    exposedPorts: [],
    volumes: [],
    labels: {},
  },
}
const job: Job = {
  id: 'j',
  kind: 'pull',
  title: 'Pull app',
  state: 'done',
  startedAt: '2026-11-24T06:00:00.000Z',
  progress: { phase: 'sync', bytesDone: 0, bytesTotal: 0, layers: [] },
  references: ['docker.io/library/app:1'],
}
const jobs = (last: Partial<Job> = {}): Script['methods'] => ({
  'events.subscribe': () => ({ revision: 0 }),
  'jobs.get': () => ({ ...job, ...last }),
})

describe('bulkhead pull', () => {
  const progress: Job['progress'] = {
    phase: 'download',
    bytesDone: 500,
    bytesTotal: 1000,
    layers: [{ digest, bytesDone: 500, bytesTotal: 1000, state: 'active' }],
  }
  /** A core host whose pull is seen running once. */
  const pulling = async (last: Partial<Job> = {}) => {
    const core = await start({
      methods: {
        ...jobs(),
        'images.pull': () => ({ job: 'j' }),
        'jobs.get': () => {
          setImmediate(() => core.notify(1, { type: 'job', job: { ...job, ...last } }))
          return { ...job, state: 'running', progress }
        },
      },
    })
    return core
  }

  it('prints an object a line with --progress json', async () => {
    const { socketPath } = await pulling()
    const { stdout, stderr, status } = await runCommand(['pull', '--progress', 'json', 'app:1'], {
      socketPath,
    })
    expect([status, stderr]).toEqual([0, ''])
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual([
      { type: 'progress', ...progress },
      { type: 'done', references: ['docker.io/library/app:1'] },
    ])
  })

  it('tells a failure in JSON too', async () => {
    const error = { code: 'oci.offline', message: 'Cannot pull app:1: no network' }
    const { socketPath } = await pulling({ state: 'failed', error })
    const { stdout, stderr, status } = await runCommand(['pull', '--progress', 'json', 'app:1'], {
      socketPath,
    })
    expect([status, stderr]).toEqual([1, 'bulkhead: Cannot pull app:1: no network\n'])
    expect(JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '')).toEqual({ type: 'failed', error })
  })

  it('says nothing on a pipe but the reference, unless --progress plain asks for it', async () => {
    const rateLimit = { limit: 100, remaining: 7, windowSeconds: 21_600 }
    const { socketPath } = await pulling({ progress: { ...progress, rateLimit } })
    expect(await runCommand(['pull', 'app:1'], { socketPath })).toMatchObject({
      stdout: 'docker.io/library/app:1\n',
      stderr: '',
    })
    expect(await runCommand(['pull', '--progress', 'plain', 'app:1'], { socketPath })).toMatchObject({
      stdout: 'docker.io/library/app:1\n',
      stderr:
        'abababababab: Downloading 1kB\nPull app: downloading 500B/1kB\n' +
        'The registry allows 100 pulls in 6 hours; 7 are left\n',
    })
  })

  it('leaves the pull at Ctrl+C, and says what becomes of it', async () => {
    const asked = Promise.withResolvers<void>()
    const { socketPath, calls } = await start({
      methods: {
        ...jobs(),
        'images.pull': () => ({ job: 'j' }),
        'jobs.get': () => {
          asked.resolve()
          return { ...job, state: 'running' }
        },
        'jobs.leave': () => ({}),
      },
    })
    const { child, finish } = startCommand(['pull', 'app:1'], { socketPath })
    await asked.promise
    child.kill('SIGINT')
    expect(await finish()).toMatchObject({
      status: 130,
      stdout: '',
      stderr:
        'bulkhead: Interrupted: the pull ends, unless somebody else waits for it. What has come is kept\n',
    })
    expect(calls.at(-1)).toEqual({ method: 'jobs.leave', params: { job: 'j' } })
  })

  it('sends what was said about the way to the registry', async () => {
    const files = folder()
    const pem = '-----BEGIN X-----\n'
    for (const name of ['ca', 'cert', 'key']) writeFileSync(join(files, name), `${pem}${name}`)
    const { socketPath, calls } = await pulling()
    const words = ['--ca-file', join(files, 'ca'), '--client-cert', join(files, 'cert'), '--client-key']
    const more = [join(files, 'key'), '--trust-realm', 'a.io', '--trust-realm', 'b.io', '--plain-http']
    await runCommand(['pull', ...words, ...more, '--platform', 'linux/arm64', 'app:1'], { socketPath })
    expect(calls[0]?.params).toEqual({
      reference: 'app:1',
      platform: 'linux/arm64',
      plainHttp: true,
      certificateAuthority: `${pem}ca`,
      clientCertificate: { certificate: `${pem}cert`, key: `${pem}key` },
      trustedRealms: ['a.io', 'b.io'],
    })
  })

  it.each([
    [['--progress', 'loud'], 2, "Option '--progress <how>' argument 'loud' is invalid"],
    [['--client-cert', 'x'], 2, '--client-cert and --client-key go together'],
    [['--ca-file', '/nowhere/ca'], 1, 'Cannot read the certificates in /nowhere/ca'],
  ])('refuses %j in one sentence', async (words, status, sentence) => {
    const { socketPath } = await start({})
    const finished = await runCommand(['pull', ...words, 'app:1'], { socketPath })
    expect([finished.status, finished.stdout]).toEqual([status, ''])
    expect(finished.stderr).toContain(sentence)
  })
})

describe('lists of images', () => {
  it('are filtered by name, and have digests where wanted', async () => {
    const other = { ...summary, reference: 'localhost:5000/other:1' }
    const { socketPath } = await start({ methods: { 'images.list': () => [summary, other] } })
    expect((await runCommand(['image', 'ls', '--digests', 'busybox'], { socketPath })).stdout).toBe(
      `REPOSITORY   TAG    DIGEST${' '.repeat(68)}IMAGE ID       CREATED   SIZE\n` +
        `busybox      1.36   ${digest}   abababababab   N/A       4.26MB\n`,
    )
    const filtered = await runCommand(['images', '--filter', 'reference=localhost:5000/*', '--json'], {
      socketPath,
    })
    expect(JSON.parse(filtered.stdout)).toEqual([other])
    expect(await runCommand(['images', '--filter', 'size=3'], { socketPath })).toMatchObject({
      status: 2,
      stderr: 'bulkhead: Cannot filter by "size=3"\n  Write --filter reference=PATTERN.\n',
    })
  })

  it("history has docker's columns, the last step first", async () => {
    const { socketPath } = await start({ methods: { 'images.inspect': () => details } })
    expect((await runCommand(['history', 'busybox'], { socketPath })).stdout).toBe(
      [
        `IMAGE          CREATED   CREATED BY${' '.repeat(38)}SIZE   COMMENT`,
        `abababababab   N/A       RUN ${'x'.repeat(40)}…   12B    buildkit`,
        `<missing>      N/A       ENV A=b${' '.repeat(41)}0B`,
        `<missing>      N/A       ADD file:1 in /${' '.repeat(33)}5MB`,
        '',
      ].join('\n'),
    )
    const whole = (await runCommand(['image', 'history', '--no-trunc', 'busybox'], { socketPath })).stdout
    expect(whole).toContain(`RUN ${'x'.repeat(60)}`)
    expect(whole).toContain(digest)
    expect((await runCommand(['history', '-q', 'busybox'], { socketPath })).stdout).toBe(
      'abababababab\n<missing>\n<missing>\n',
    )
    expect(
      JSON.parse((await runCommand(['history', '--json', 'busybox'], { socketPath })).stdout)[2],
    ).toEqual({
      createdBy: '/bin/sh -c #(nop) ADD file:1 in /',
      comment: '',
      empty: false,
      layer: layer('11').digest,
      sizeBytes: 2_000_000,
      contentBytes: 5_000_000,
    })
  })

  it('layers tells what each holds and what made it', async () => {
    const layers = [details.layers[0], layer('22')]
    const { socketPath } = await start({ methods: { 'images.inspect': () => ({ ...details, layers }) } })
    expect((await runCommand(['image', 'layers', 'busybox'], { socketPath })).stdout).toBe(
      'DIGEST         SIZE   UNPACKED   FILES   CREATED BY\n' +
        '111111111111   2MB    5MB        400     ADD file:1 in /\n' +
        `222222222222   2MB    -          -       RUN ${'x'.repeat(55)}…\n`,
    )
    expect(
      JSON.parse((await runCommand(['image', 'layers', '--json', 'busybox'], { socketPath })).stdout),
    ).toEqual([
      { ...layers[0], createdBy: '/bin/sh -c #(nop) ADD file:1 in /' },
      { ...layers[1], createdBy: `RUN ${'x'.repeat(60)}` },
    ])
  })
})

describe('bulkhead image tags', () => {
  const all = Array.from({ length: 2500 }, (_, index) => `t${String(index).padStart(4, '0')}`)
  const listTags: MethodHandler = ({ repository, after, limit }) => {
    const first = after === undefined ? 0 : all.indexOf(String(after)) + 1
    const tags = all.slice(first, first + Number(limit))
    return { repository, tags, hasMore: first + tags.length < all.length }
  }

  it('lists a hundred, and says that there are more', async () => {
    const { socketPath, calls } = await start({ methods: { 'images.tags': listTags } })
    expect(await runCommand(['image', 'tags', 'app'], { socketPath })).toMatchObject({
      status: 0,
      stdout: all
        .slice(0, 100)
        .map((tag) => `${tag}\n`)
        .join(''),
      stderr: 'There are more: see all with --all, or more with --limit NUMBER\n',
    })
    expect(calls[0]?.params).toEqual({ repository: 'app', limit: 100 })
  })

  it('goes through the pages for all of them, or as many as are wanted', async () => {
    const { socketPath, calls } = await start({ methods: { 'images.tags': listTags } })
    const { stdout, stderr } = await runCommand(['image', 'tags', '--all', '--json', 'app'], { socketPath })
    expect([JSON.parse(stdout), stderr]).toEqual([all, ''])
    expect(calls.map(({ params }) => params.after)).toEqual([undefined, 't0999', 't1999'])
    const some = await runCommand(['image', 'tags', '--limit', '1200', 'app'], { socketPath })
    expect(some.stdout.trimEnd().split('\n')).toEqual(all.slice(0, 1200))
  })

  it.each([[['--limit', 'ten']], [['--limit', '0']], [['--all', '--limit', '3']]])(
    'refuses %j',
    async (words) => {
      expect(await runCommand(['image', 'tags', ...words, 'app'])).toMatchObject({ status: 2, stdout: '' })
    },
  )
})

describe('bulkhead image prune', () => {
  const prune: MethodHandler = () => ({
    images: [{ reference: summary.reference, digest }],
    freedBytes: 4_000_000,
  })

  it('tells what would go, and takes nothing, with --dry-run', async () => {
    const { socketPath, calls } = await start({ methods: { 'images.prune': prune } })
    expect(await runCommand(['image', 'prune', '--all', '--dry-run'], { socketPath })).toMatchObject({
      status: 0,
      stdout: 'docker.io/library/busybox:1.36 (abababababab)\nWould free: 4MB\n',
    })
    expect(calls.map(({ params }) => params)).toEqual([{ all: true, derived: false, dryRun: true }])
  })

  it('needs -f where nobody can be asked', async () => {
    const { socketPath, calls } = await start({ methods: { 'images.prune': prune } })
    expect(await runCommand(['image', 'prune'], { socketPath })).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('standard input is no terminal'),
    })
    expect(calls).toEqual([])
    expect((await runCommand(['image', 'prune', '-f', '--derived'], { socketPath })).stdout).toBe(
      'docker.io/library/busybox:1.36 (abababababab)\nTotal reclaimed space: 4MB\n',
    )
    expect(calls.map(({ params }) => params)).toEqual([{ all: false, derived: true, dryRun: false }])
  })

  it.each([
    ['y\r', ['preview', 'pruned'], 'Total reclaimed space: 4MB'],
    ['\r', ['preview'], '[y/N]'],
    ['no\r', ['preview'], '[y/N]'],
  ])('asks at a terminal: %j', async (answer, done, said) => {
    const { socketPath, calls } = await start({ methods: { 'images.prune': prune } })
    const terminal = startInTerminal(['image', 'prune'], { socketPath })
    await terminal.said('This frees 4MB. Continue? [y/N] ')
    terminal.type(answer)
    const { status, stdout } = await terminal.finish()
    expect([status, stdout.includes('Will remove: docker.io/library/busybox:1.36')]).toEqual([0, true])
    expect(stdout).toContain(said)
    expect(calls.map(({ params }) => (params.dryRun ? 'preview' : 'pruned'))).toEqual(done)
  })
})

describe('bulkhead save', () => {
  const archive = Buffer.alloc(3_000_000, 'archive')
  const send: StreamHandler = async (peer) => {
    let acknowledged = 0
    for (let at = 0; at < archive.length; at += 60_000) {
      peer.send('data', 1, at, archive.subarray(at, at + 60_000))
      while (at + 120_000 - acknowledged > 1_048_576) {
        const frame = await peer.nextOf('ack')
        if (frame === undefined) return
        acknowledged = frame.offset
      }
    }
    peer.send('end', 1, archive.length)
    peer.socket.end()
  }
  /** A core host that exports with `handler`, and whose job ends as `last` says when that is over. */
  const exporter = async (handler: StreamHandler, last: Partial<Job> = {}) => {
    const over = Promise.withResolvers<void>()
    return await start({
      kind: 'export',
      methods: {
        ...jobs(),
        'images.export': () => ({ job: 'j', ticket: 't' }),
        'jobs.get': async () => {
          await over.promise
          return { ...job, kind: 'export', references: [], ...last }
        },
        'jobs.leave': () => ({}),
      },
      streams: {
        t: async (peer) => {
          await handler(peer)
          over.resolve()
        },
      },
    })
  }

  it('writes a file of its owner, complete', async () => {
    const path = join(folder(), 'app.tar')
    const { socketPath, calls } = await exporter(send)
    expect(
      await runCommand(['save', '-o', path, '--format', 'oci-archive', 'a', 'b'], { socketPath }),
    ).toMatchObject({
      status: 0,
      stdout: '',
      stderr: '',
    })
    expect(readFileSync(path).equals(archive)).toBe(true)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(calls[0]?.params).toEqual({ images: ['a', 'b'], format: 'oci-archive' })
  })

  it('writes into a pipe', async () => {
    const { socketPath } = await exporter(send)
    const { child, finish } = startCommand(['image', 'save', 'a'], { socketPath })
    const chunks: Buffer[] = []
    child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk))
    expect((await finish()).status).toBe(0)
    expect(Buffer.concat(chunks).equals(archive)).toBe(true)
  })

  it('ends quietly when nobody reads the pipe any more', async () => {
    const { socketPath } = await exporter(send)
    const { child, finish } = startCommand(['save', 'a'], { socketPath })
    await new Promise((resolve) => child.stdout?.once('data', resolve))
    child.stdout?.destroy()
    expect(await finish()).toMatchObject({ status: 141, stderr: '' })
  })

  it('leaves nothing of a file, and keeps the one before, where the export fails', async () => {
    const files = folder()
    writeFileSync(join(files, 'app.tar'), 'before')
    const error = { code: 'oci.corrupt', message: 'Cannot save app: a layer is damaged' }
    const { socketPath } = await exporter(
      (peer) => {
        peer.send('data', 1, 0, archive.subarray(0, 1000))
        peer.send('error', 0, 0, JSON.stringify(error))
        peer.socket.end()
      },
      { state: 'failed', error },
    )
    expect(await runCommand(['save', '-o', join(files, 'app.tar'), 'a'], { socketPath })).toMatchObject({
      status: 1,
      stderr: 'bulkhead: Cannot save app: a layer is damaged\n',
    })
    expect(readdirSync(files)).toEqual(['app.tar'])
    expect(readFileSync(join(files, 'app.tar'), 'utf8')).toBe('before')
  })

  it('takes a connection that breaks for no whole archive', async () => {
    const files = folder()
    const { socketPath } = await exporter(
      (peer) => {
        peer.send('data', 1, 0, archive.subarray(0, 1000))
        peer.socket.end()
      },
      { state: 'cancelled' },
    )
    expect(await runCommand(['save', '-o', join(files, 'app.tar'), 'a'], { socketPath })).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('broke off'),
    })
    expect(readdirSync(files)).toEqual([])
  })

  it('leaves nothing at Ctrl+C', async () => {
    const files = folder()
    const sent = Promise.withResolvers<void>()
    const { socketPath, calls } = await exporter(async (peer) => {
      peer.send('data', 1, 0, archive.subarray(0, 1000))
      await peer.nextOf('ack')
      sent.resolve()
      await peer.next()
    })
    const { child, finish } = startCommand(['save', '-o', join(files, 'app.tar'), 'a'], { socketPath })
    await sent.promise
    expect(readdirSync(files)).toHaveLength(1)
    child.kill('SIGINT')
    expect(await finish()).toMatchObject({ status: 130 })
    expect(readdirSync(files)).toEqual([])
    expect(calls.at(-1)?.method).toBe('jobs.leave')
  })

  it.each([
    [
      ['-o', '/no/such/folder/app.tar'],
      1,
      'Cannot save to /no/such/folder/app.tar: its folder does not exist',
    ],
    [['-o', '/'], 1, 'Cannot save to /: it is a folder'],
    [['-o', '/dev/full'], 1, 'Cannot save to /dev/full: the disk is full'],
    [['--progress', 'json'], 2, 'Cannot write progress and the archive to standard output'],
    [['--format', 'zip'], 2, "argument 'zip' is invalid"],
  ])('says what it cannot do: %j', async (words, status, sentence) => {
    const { socketPath } = await exporter(send)
    const finished = await runCommand(['save', ...words, 'a'], { socketPath })
    expect([finished.status, finished.stderr]).toEqual([status, expect.stringContaining(sentence)])
  })

  it('refuses a terminal', async () => {
    const { stdout, status } = await startInTerminal(['save', 'a'], {}).finish()
    expect([status, stdout]).toEqual([
      1,
      expect.stringContaining('Cannot save to standard output: it is a terminal'),
    ])
  })
})

describe('bulkhead load', () => {
  it("is import, with docker's words", async () => {
    const path = join(folder(), 'app.tar')
    writeFileSync(path, 'archive')
    const { socketPath, calls } = await start({
      kind: 'import',
      methods: { ...jobs(), 'images.import': () => ({ job: 'j', ticket: 't' }) },
      streams: { t: () => {} },
    })
    const loaded = { status: 0, stdout: 'Loaded image: docker.io/library/app:1\n' }
    expect(await runCommand(['load', '-i', path], { socketPath })).toMatchObject(loaded)
    expect(await runCommand(['image', 'load'], { socketPath, input: 'archive' })).toMatchObject(loaded)
    expect(calls.filter(({ method }) => method === 'images.import').map(({ params }) => params)).toEqual([
      { sizeBytes: 7 },
      {},
    ])
  })
})

describe('bulkhead tag', () => {
  it('says nothing where all is well', async () => {
    const { socketPath, calls } = await start({ methods: { 'images.tag': () => ({ reference: 'x' }) } })
    expect(await runCommand(['tag', 'app:1', 'app:2'], { socketPath })).toMatchObject({
      status: 0,
      stdout: '',
    })
    expect(calls[0]?.params).toEqual({ image: 'app:1', name: 'app:2' })
  })
})

describe('bulkhead image check', () => {
  const sound = { blobs: 3, bytes: 4_000_000, images: 1, problems: [] }
  const problem = { subject: digest, problem: 'its content is not what its name says', repaired: false }

  it.each([
    [sound, 0, '1 image, 3 blobs, 4MB: all sound\n'],
    [
      { ...sound, problems: [problem] },
      1,
      `${digest}: its content is not what its name says\n1 image, 3 blobs, 4MB: 1 problem\n`,
    ],
    [
      { ...sound, problems: [{ ...problem, repaired: true }] },
      0,
      `${digest}: its content is not what its name says (removed)\n1 image, 3 blobs, 4MB: 1 problem\n`,
    ],
  ])('reports, and fails where damage is left', async (report, status, stdout) => {
    const { socketPath } = await start({ methods: { 'store.check': () => report } })
    expect(await runCommand(['image', 'check'], { socketPath })).toMatchObject({ status, stdout })
  })
})

describe('bulkhead image verify', () => {
  const verified = {
    reference: 'ghcr.io/a/app:1',
    digest,
    signatures: [{ format: 'simple-signing', keyId: 'ff00', signedReference: 'ghcr.io/a/app' }],
  }

  it('checks with the keys that were named, as the user', async () => {
    const key = join(folder(), 'cosign.pub')
    writeFileSync(key, '-----BEGIN PUBLIC KEY-----\n')
    const { socketPath, calls } = await start({
      methods: {
        'images.inspect': () => ({ ...details, reference: 'ghcr.io/a/app:1' }),
        'images.verify': () => verified,
      },
    })
    expect(
      await runCommand(['image', 'verify', '--key', key, '--plain-http', 'app'], { socketPath }),
    ).toMatchObject({
      status: 0,
      stdout: `ghcr.io/a/app:1: signed (${digest})\n  simple-signing by key ff00 as ghcr.io/a/app\n`,
    })
    expect(calls.at(-1)?.params).toEqual({
      image: 'app',
      keys: ['-----BEGIN PUBLIC KEY-----\n'],
      plainHttp: true,
    })
  })

  it('fails where nothing is signed', async () => {
    const { socketPath } = await start({
      methods: {
        'images.inspect': () => details,
        'images.verify': failure('oci.not-signed', 'Cannot trust busybox:1.36: it has no signature'),
      },
    })
    expect(await runCommand(['image', 'verify', 'busybox'], { socketPath })).toMatchObject({
      status: 1,
      stdout: '',
      stderr: 'bulkhead: Cannot trust busybox:1.36: it has no signature\n',
    })
  })

  it('refuses a private key before it asks anybody', async () => {
    const key = join(folder(), 'cosign.key')
    writeFileSync(key, '-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n')
    expect((await runCommand(['image', 'verify', '--key', key, 'app'])).stderr).toContain(
      'it is a private key',
    )
  })
})
