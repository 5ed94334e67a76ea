import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { MethodHandler } from '../../../core/client/scripted-core.fixture.ts'
import { runCommand, setUpForEach, startInTerminal } from '../command-line.fixture.ts'
import { details, digest, failure, summary } from './image-samples.fixture.ts'

const { folder, start } = setUpForEach()

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
