// Pulls from real registries.

import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { digestOf } from '../../core/oci/digest.ts'
import type { ImageProgress } from '../../core/oci/progress.ts'
import { type PullRequest, pullImage } from '../../core/oci/registry/pull-image.ts'
import { ImageStore } from '../../core/oci/store/image-store.ts'
import { run } from './commands.ts'
import { type MadeImage, makeImage, readLayout, skopeoCopy } from './made-images.ts'
import {
  type Certificates,
  makeCertificates,
  PASSWORD,
  type RunningServer,
  startRegistry,
  startTokenServer,
  type TokenServer,
  USER,
} from './registry-servers.ts'

const credentials = { username: USER, password: PASSWORD }
const skopeoCredentials = ['--dest-creds', `${USER}:${PASSWORD}`]

let folder: string
let made: MadeImage
let certificates: Certificates
let root: string
let store: ImageStore

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'bulkhead-pull-'))
  made = await makeImage(path.join(folder, 'made'))
  certificates = await makeCertificates(path.join(folder, 'certificates'))
})

afterAll(() => rm(folder, { recursive: true }))

beforeEach(async () => {
  root = await mkdtemp(path.join(folder, 'root-'))
  store = await ImageStore.open(root)
})

afterEach(() => store[Symbol.asyncDispose]())

const pull = (request: PullRequest) => pullImage(request, store)
const coded = (code: string) => expect.objectContaining({ code })
const push = (host: string, name: string, ...options: string[]) =>
  skopeoCopy(`oci:${made.layout}:made`, `docker://${host}/${name}`, '--dest-tls-verify=false', ...options)

/** The store holds exactly what the registry was given: every blob hashes to its name, and the image can be read. */
async function expectWholeImage(reference: string): Promise<void> {
  const blobs = path.join(root, 'store/blobs/sha256')
  for (const name of await readdir(blobs))
    expect(digestOf(await readFile(path.join(blobs, name)))).toBe(`sha256:${name}`)
  const { config } = await store.openImage(reference)
  expect(config.run.Cmd).toEqual(made.command)
}

describe('an open registry on loopback', () => {
  let registry: RunningServer

  beforeAll(async () => {
    registry = await startRegistry(path.join(folder, 'open'), { auth: 'none' })
    await push(registry.host, 'team/web:1')
  })

  afterAll(() => registry[Symbol.asyncDispose]())

  test('an OCI image comes whole, over plain HTTP, and skopeo reads it from our store', async () => {
    const { entry } = await readLayout(made.layout)
    const reference = `${registry.host}/team/web:1`
    expect(await pull({ reference })).toEqual({ reference, digest: entry.digest, isNew: true })
    await expectWholeImage(reference)
    const inspected = JSON.parse(await run('skopeo', 'inspect', `oci:${root}/store:${reference}`))
    expect(inspected.Digest).toBe(entry.digest)
  })

  test('what is there already is not fetched again', async () => {
    const reference = `${registry.host}/team/web:1`
    await pull({ reference })
    expect(await pull({ reference })).toMatchObject({ isNew: false })
  })

  test('by digest, with and without a tag beside it', async () => {
    const { entry } = await readLayout(made.layout)
    for (const name of [`team/web@${entry.digest}`, `team/web:nonsense@${entry.digest}`]) {
      const { reference } = await pull({ reference: `${registry.host}/${name}` })
      expect(reference).toBe(`${registry.host}/team/web@${entry.digest}`)
    }
    expect((await store.resolve(`${registry.host}/team/web:nonsense@${entry.digest}`)).digest).toBe(
      entry.digest,
    )
  })

  test('a Docker schema 2 image, and zstd layers', async () => {
    await push(registry.host, 'team/web:v2s2', '--format', 'v2s2')
    await push(registry.host, 'team/web:zstd', '--dest-compress-format', 'zstd', '--dest-compress')
    for (const tag of ['v2s2', 'zstd']) {
      await pull({ reference: `${registry.host}/team/web:${tag}` })
      await expectWholeImage(`${registry.host}/team/web:${tag}`)
    }
    const { manifest } = await store.openImage(`${registry.host}/team/web:v2s2`)
    expect(manifest.mediaType).toBe('application/vnd.docker.distribution.manifest.v2+json')
  })

  test('an index: this machine gets its manifest, another one an error that lists the platforms', async () => {
    const { entry } = await readLayout(made.layout)
    const mediaType = 'application/vnd.oci.image.manifest.v1+json'
    const index = JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests: [
        {
          mediaType,
          digest: entry.digest,
          size: entry.size,
          platform: { os: 'linux', architecture: 'amd64' },
        },
      ],
    })
    const answer = await fetch(`http://${registry.host}/v2/team/web/manifests/multi`, {
      method: 'PUT',
      headers: { 'content-type': 'application/vnd.oci.image.index.v1+json' },
      body: index,
    })
    expect(answer.status).toBe(201)
    const reference = `${registry.host}/team/web:multi`
    expect(await pull({ reference, platform: { os: 'linux', architecture: 'amd64' } })).toMatchObject({
      digest: entry.digest,
    })
    expect(await pull({ reference, platform: { os: 'linux', architecture: 'amd64' } })).toMatchObject({
      isNew: false,
    })
    expect((await store.resolve(`${registry.host}/team/web@${digestOf(Buffer.from(index))}`)).digest).toBe(
      entry.digest,
    )
    await expect(pull({ reference, platform: { os: 'linux', architecture: 'arm64' } })).rejects.toThrow(
      'it is there for linux/amd64',
    )
  })

  test('a tag that moves: the new image is fetched, only what is missing, and the old one stays', async () => {
    const reference = `${registry.host}/team/moving:1`
    const changed = await makeImage(path.join(folder, `changed-${crypto.randomUUID()}`), 'changed')
    await push(registry.host, 'team/moving:1')
    const first = await pull({ reference })
    await skopeoCopy(`oci:${changed.layout}:made`, `docker://${reference}`, '--dest-tls-verify=false')
    const second = await pull({ reference })
    expect(second.digest).not.toBe(first.digest)
    expect((await store.resolve(first.digest)).references[0]?.name).toBe(
      `${registry.host}/team/moving@${first.digest}`,
    )
  })

  test('what does not exist is said so', async () => {
    await expect(pull({ reference: `${registry.host}/team/web:none` })).rejects.toThrow(
      `There is no image "${registry.host}/team/web:none" on ${registry.host}`,
    )
    await expect(pull({ reference: `${registry.host}/nobody/nothing` })).rejects.toThrow(
      coded('oci.not-found'),
    )
    expect(await store.list()).toEqual([])
  })

  test('progress is told for each blob', async () => {
    const seen: ImageProgress[] = []
    await pullImage({ reference: `${registry.host}/team/web:1` }, store, {
      onProgress: (progress) => seen.push(progress),
    })
    expect(seen[0]?.phase).toBe('resolve')
    const last = seen.at(-1)
    expect(last).toMatchObject({ phase: 'unpack', bytesDone: last?.bytesTotal })
    expect(last?.layers.map(({ state }) => state)).toEqual(['done', 'done'])
  })

  test('two pulls of one image at the same time fetch each blob once', async () => {
    const reference = `${registry.host}/team/web:1`
    const results = await Promise.all([pull({ reference }), pull({ reference })])
    expect(new Set(results.map(({ digest }) => digest)).size).toBe(1)
    await expectWholeImage(reference)
  })

  test('a caller that has given up already gets nothing', async () => {
    const reference = `${registry.host}/team/web:1`
    await expect(pullImage({ reference }, store, { signal: AbortSignal.abort() })).rejects.toThrow(
      coded('oci.cancelled'),
    )
    expect(await store.list()).toEqual([])
  })
})

test('a registry that is not there', async () => {
  const registry = await startRegistry(path.join(folder, 'gone'), { auth: 'none' })
  await registry[Symbol.asyncDispose]()
  await expect(pull({ reference: `${registry.host}/web` })).rejects.toThrow(
    `Cannot reach ${registry.host}: nothing listens there`,
  )
})

describe('a registry with a password file', () => {
  let registry: RunningServer

  beforeAll(async () => {
    registry = await startRegistry(path.join(folder, 'htpasswd'), { auth: 'htpasswd' })
    await push(registry.host, 'web:1', ...skopeoCredentials)
  })

  afterAll(() => registry[Symbol.asyncDispose]())

  test('gives the image to who has the password', async () => {
    await pull({ reference: `${registry.host}/web:1`, credentials })
    await expectWholeImage(`${registry.host}/web:1`)
  })

  test('refuses who has none, and who has the wrong one', async () => {
    const reference = `${registry.host}/web:1`
    await expect(pull({ reference })).rejects.toThrow(coded('oci.auth-required'))
    await expect(pull({ reference, credentials: { username: USER, password: 'wrong' } })).rejects.toThrow(
      coded('oci.auth-failed'),
    )
  })
})

describe('a registry with a token server', () => {
  let tokens: TokenServer
  let registry: RunningServer

  beforeAll(async () => {
    tokens = await startTokenServer(certificates)
    const kind = { auth: 'token', realm: `http://${tokens.host}/token`, signer: certificates } as const
    registry = await startRegistry(path.join(folder, 'token'), kind)
    await push(registry.host, 'team/web:1', ...skopeoCredentials)
  })

  afterAll(async () => {
    await registry[Symbol.asyncDispose]()
    await tokens[Symbol.asyncDispose]()
  })

  test('gives the image to who gets a token; one token serves all requests', async () => {
    tokens.requests.length = 0
    await pull({ reference: `${registry.host}/team/web:1`, credentials })
    await expectWholeImage(`${registry.host}/team/web:1`)
    expect(tokens.requests).toHaveLength(1)
    expect(Object.fromEntries(tokens.requests[0]?.query ?? [])).toEqual({
      service: 'test-registry',
      scope: 'repository:team/web:pull',
    })
  })

  test('refuses who has no password, and who has the wrong one', async () => {
    const reference = `${registry.host}/team/web:1`
    await expect(pull({ reference })).rejects.toThrow(coded('oci.auth-required'))
    await expect(pull({ reference, credentials: { username: USER, password: 'wrong' } })).rejects.toThrow(
      coded('oci.auth-failed'),
    )
  })
})

describe('a registry with TLS', () => {
  let registry: RunningServer

  beforeAll(async () => {
    registry = await startRegistry(path.join(folder, 'tls'), { auth: 'htpasswd', tls: certificates })
    const trust = ['--dest-cert-dir', certificates.folder, ...skopeoCredentials]
    await skopeoCopy(`oci:${made.layout}:made`, `docker://${registry.host}/web:1`, ...trust)
  })

  afterAll(() => registry[Symbol.asyncDispose]())

  test('gives the image to who trusts its authority', async () => {
    await pull({
      reference: `${registry.host}/web:1`,
      credentials,
      certificateAuthority: certificates.authority,
    })
    await expectWholeImage(`${registry.host}/web:1`)
  })

  test('is not trusted without it, also on loopback, also where plain HTTP is allowed', async () => {
    const reference = `${registry.host}/web:1`
    await expect(pull({ reference, credentials })).rejects.toThrow(coded('oci.tls'))
    await expect(pull({ reference, credentials, plainHttp: true })).rejects.toThrow(coded('oci.tls'))
  })
})
