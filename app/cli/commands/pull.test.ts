import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Job } from '../../../core/api/methods.ts'
import { runCommand, setUpForEach, startCommand } from '../command-line.fixture.ts'
import { digest, job, jobs } from './image-samples.fixture.ts'

const { folder, start } = setUpForEach()

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

  it.each([
    [true, 'the pull was ended; what has come is kept'],
    [false, 'others still wait for the pull; it goes on'],
  ])('leaves the pull at Ctrl+C, and says what has become of it (ended: %j)', async (ended, sentence) => {
    const asked = Promise.withResolvers<void>()
    const { socketPath, calls } = await start({
      methods: {
        ...jobs(),
        'images.pull': () => ({ job: 'j' }),
        'jobs.get': () => {
          asked.resolve()
          return { ...job, state: 'running' }
        },
        'jobs.leave': () => ({ ended }),
      },
    })
    const { child, finish } = startCommand(['pull', 'app:1'], { socketPath })
    await asked.promise
    child.kill('SIGINT')
    expect(await finish()).toMatchObject({
      status: 130,
      stdout: '',
      stderr: `bulkhead: Interrupted: ${sentence}\n`,
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
