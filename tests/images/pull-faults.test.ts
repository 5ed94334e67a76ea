// Pulls from registries that fail, lie or want to know more than they should.

import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { digestOf } from '../../core/oci/digest.ts'
import { type PullRequest, pullImage } from '../../core/oci/registry/pull-image.ts'
import { ImageStore } from '../../core/oci/store/image-store.ts'
import { hexOf, type MadeImage, makeImage, readLayout } from './made-images.ts'
import { makeCertificates, portOf } from './registry-servers.ts'
import { type Script, startScriptedRegistry } from './scripted-registry.ts'

let folder: string
let made: MadeImage
let root: string
let store: ImageStore
/** The bigger layer: its path in the registry, its bytes. */
let layerPath: string
let layer: Buffer
let manifestDigest: string

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'bulkhead-faults-'))
  made = await makeImage(path.join(folder, 'made'))
  const { entry, manifest, blobs } = await readLayout(made.layout)
  const [first] = manifest.layers
  if (first === undefined) throw new Error('no layer')
  layerPath = `/v2/web/blobs/${first.digest}`
  layer = await readFile(path.join(blobs, hexOf(first)))
  manifestDigest = entry.digest
})

afterAll(() => rm(folder, { recursive: true }))

beforeEach(async () => {
  root = await mkdtemp(path.join(folder, 'root-'))
  store = await ImageStore.open(root)
})

afterEach(() => store[Symbol.asyncDispose]())

const retryPolicy = { attempts: 3, baseDelayMs: 1, maxDelayMs: 5000 }
const pull = (host: string, request: Partial<PullRequest> = {}) =>
  pullImage({ reference: `${host}/web:made`, ...request }, store, { retryPolicy })
const serve = (script: Script) => startScriptedRegistry(made.layout, script)
const coded = (code: string) => expect.objectContaining({ code })

const encodedGzip = (withLength: boolean) => ({
  'content-encoding': 'gzip',
  ...(withLength ? { 'content-length': gzipSync(layer).length } : {}),
})

/** A script that takes over the first `times` requests that `matches`. */
function firstTimes(
  times: number,
  matches: (request: IncomingMessage) => boolean,
  answer: (response: ServerResponse, request: IncomingMessage) => void,
): Script {
  let left = times
  return (request, response) => {
    if (left === 0 || !matches(request)) return false
    left -= 1
    answer(response, request)
    return true
  }
}

const isLayer = (request: IncomingMessage) => request.url === layerPath
const isManifest = (request: IncomingMessage) => request.url?.includes('/manifests/') === true

/** Nothing of a failed pull may be taken for an image. What came of a layer may stay, for the next try to go on with. */
async function expectNothingStored(): Promise<void> {
  expect(await store.list()).toEqual([])
  for (const name of await readdir(path.join(root, 'store/blobs/sha256'))) {
    expect(digestOf(await readFile(path.join(root, 'store/blobs/sha256', name)))).toBe(`sha256:${name}`)
  }
}

describe('content that is not what its digest says', () => {
  test('a layer with one bit changed', async () => {
    const changed = Buffer.from(layer)
    changed[50] = (changed[50] ?? 0) ^ 1
    await using registry = await serve(
      (request, response) => isLayer(request) && Boolean(response.end(changed)),
    )
    await expect(pull(registry.host)).rejects.toThrow(coded('oci.digest-mismatch'))
    await expectNothingStored()
  })

  test('a layer that never ends', async () => {
    await using registry = await serve((request, response) => {
      if (!isLayer(request)) return false
      response.writeHead(200)
      const more = () => {
        while (response.write(Buffer.alloc(65536)));
      }
      response.on('drain', more)
      more()
      return true
    })
    await expect(pull(registry.host)).rejects.toThrow(coded('oci.size-mismatch'))
    await expectNothingStored()
  })

  test('a layer that ends early, each time', async () => {
    await using registry = await serve(
      (request, response) => isLayer(request) && Boolean(response.end(layer.subarray(0, 10))),
    )
    await expect(pull(registry.host)).rejects.toThrow(coded('oci.size-mismatch'))
    await expectNothingStored()
  })

  test('a manifest other than the one asked for by digest', async () => {
    const forged = Buffer.from('{"schemaVersion":2,"manifests":[]}')
    const headers = { 'content-type': 'application/vnd.oci.image.index.v1+json' }
    await using registry = await serve(
      (request, response) =>
        request.method === 'GET' &&
        isManifest(request) &&
        Boolean(response.writeHead(200, headers).end(forged)),
    )
    await expect(pull(registry.host)).rejects.toThrow(coded('oci.digest-mismatch'))
    await expect(
      pull(registry.host, { reference: `${registry.host}/web@${manifestDigest}` }),
    ).rejects.toThrow(coded('oci.digest-mismatch'))
    await expectNothingStored()
  })

  test('a manifest under another content type', async () => {
    const { blobs, entry } = await readLayout(made.layout)
    const bytes = await readFile(path.join(blobs, hexOf(entry)))
    await using registry = await serve((request, response) => {
      if (!isManifest(request)) return false
      response.writeHead(200, { 'content-type': 'application/vnd.oci.image.index.v1+json' }).end(bytes)
      return true
    })
    await expect(pull(registry.host)).rejects.toThrow(coded('oci.corrupt-image'))
  })

  test('a manifest that is too large', async () => {
    await using registry = await serve(
      (request, response) =>
        request.method === 'GET' &&
        isManifest(request) &&
        Boolean(response.end(Buffer.alloc(5 * 2 ** 20, 32))),
    )
    await expect(pull(registry.host)).rejects.toThrow(coded('oci.limit'))
  })
})

describe('trouble that passes', () => {
  test('a connection that breaks in the middle of a layer: it goes on from there', async () => {
    const ranges: (string | undefined)[] = []
    const breakOff = firstTimes(1, isLayer, (response) => {
      response.writeHead(200, { 'content-length': layer.length })
      response.write(layer.subarray(0, 100), () => response.destroy())
    })
    await using registry = await serve((request, response) => {
      if (isLayer(request)) ranges.push(request.headers.range)
      return breakOff(request, response)
    })
    await pull(registry.host)
    expect(ranges).toEqual([undefined, 'bytes=100-'])
    expect(await store.blobs.has({ digest: digestOf(layer), size: layer.length })).toBe(true)
  })

  test.each([
    ['sends everything again', (response: ServerResponse) => response.writeHead(200).end(layer)],
    [
      'sends another part than asked for',
      (response: ServerResponse) =>
        response
          .writeHead(206, { 'content-range': `bytes 5-${layer.length - 1}/${layer.length}` })
          .end(layer.subarray(5)),
    ],
    ['refuses the range', (response: ServerResponse) => response.writeHead(416).end()],
  ])('a server that, asked to go on, %s', async (_, answer) => {
    const breakOff = firstTimes(1, isLayer, (response) => {
      response.writeHead(200, { 'content-length': layer.length })
      response.write(layer.subarray(0, 100), () => response.destroy())
    })
    const goOn = firstTimes(1, isLayer, answer)
    await using registry = await serve(
      (request, response) => breakOff(request, response) || goOn(request, response),
    )
    await pull(registry.host)
    expect(await store.blobs.has({ digest: digestOf(layer), size: layer.length })).toBe(true)
  })

  test.each([500, 503, 429])('an answer of %i', async (status) => {
    await using registry = await serve(
      firstTimes(2, isManifest, (response) => response.writeHead(status).end()),
    )
    expect(await pull(registry.host)).toMatchObject({ isNew: true })
  })

  test('Retry-After is kept to, in seconds and as a date; one that is too far away is reported with its time', async () => {
    const waits: number[] = []
    const wait = async (ms: number) => {
      waits.push(ms)
    }
    const inHalfAMinute = new Date(Date.now() + 30_000).toUTCString()
    for (const [status, after] of [
      [429, '7'],
      [503, '8'],
      [429, inHalfAMinute],
    ] as const) {
      await using patient = await serve(
        firstTimes(1, isManifest, (response) => response.writeHead(status, { 'retry-after': after }).end()),
      )
      const policy = { attempts: 3, baseDelayMs: 1, maxDelayMs: 60_000, wait }
      await pullImage({ reference: `${patient.host}/web:made` }, store, { retryPolicy: policy })
    }
    expect(waits.slice(0, 2)).toEqual([7000, 8000])
    expect(waits[2]).toBeGreaterThan(20_000)
    expect(waits[2]).toBeLessThanOrEqual(30_000)
    await using strict = await serve(
      (request, response) =>
        isManifest(request) && Boolean(response.writeHead(429, { 'retry-after': '3600' }).end()),
    )
    await expect(pull(strict.host)).rejects.toThrow(
      expect.objectContaining({
        code: 'oci.rate-limited',
        hint: expect.stringMatching(/^Try again after 20\d\d-/),
      }),
    )
  })

  test('waits between tries grow, and differ from client to client', async () => {
    const waits: number[] = []
    const policy = {
      attempts: 5,
      baseDelayMs: 100,
      maxDelayMs: 60_000,
      wait: async (ms: number) => void waits.push(ms),
    }
    await using registry = await serve(
      (request, response) =>
        request.method === 'GET' && isManifest(request) && Boolean(response.writeHead(502).end()),
    )
    await expect(
      pullImage({ reference: `${registry.host}/web:made` }, store, { retryPolicy: policy }),
    ).rejects.toThrow('it answered 502')
    expect(waits).toHaveLength(4)
    for (const [count, ms] of waits.entries()) {
      expect(ms).toBeGreaterThanOrEqual(50 * 2 ** count)
      expect(ms).toBeLessThanOrEqual(100 * 2 ** count)
    }
  })

  test('a registry that does not know HEAD', async () => {
    await using registry = await serve(
      (request, response) => request.method === 'HEAD' && Boolean(response.writeHead(405).end()),
    )
    expect(await pull(registry.host)).toMatchObject({ digest: manifestDigest })
  })
})

describe('a server that takes its time', () => {
  const timeLimits = { connectMs: 1000, silenceMs: 200, paceMs: 150, paceBytes: 10_000 }
  const pullInTime = (host: string) =>
    pullImage({ reference: `${host}/web:made` }, store, {
      retryPolicy: { attempts: 2, baseDelayMs: 1, maxDelayMs: 10 },
      timeLimits,
    })

  test('and never answers', async () => {
    await using registry = await serve((request) => isManifest(request))
    await expect(pullInTime(registry.host)).rejects.toThrow('it has been silent for too long')
  })

  test('and falls silent in a layer', async () => {
    await using registry = await serve((request, response) => {
      if (!isLayer(request)) return false
      response.writeHead(200, { 'content-length': layer.length }).write(layer.subarray(0, 10))
      return true
    })
    await expect(pullInTime(registry.host)).rejects.toThrow('it has been silent for too long')
  })

  test.each<[string, (request: IncomingMessage) => boolean]>([
    ['a layer', isLayer],
    ['a manifest', isManifest],
  ])('and sends %s drop by drop', async (_, matches) => {
    await using registry = await serve((request, response) => {
      if (!matches(request) || request.method === 'HEAD') return false
      response.writeHead(200, isLayer(request) ? { 'content-length': layer.length } : {})
      const drops = setInterval(() => response.write(' '), 10)
      response.on('close', () => clearInterval(drops))
      return true
    })
    await expect(pullInTime(registry.host)).rejects.toThrow(/only \d+ bytes came in 0 s/)
    await expectNothingStored()
  })

  test('for the head of its answer, line by line', async () => {
    await using registry = await serve((request, response) => {
      if (!isManifest(request)) return false
      const { socket } = response
      socket?.write('HTTP/1.1 200 OK\r\n')
      const lines = setInterval(() => socket?.write('x-more: 1\r\n'), 10)
      socket?.on('close', () => clearInterval(lines))
      return true
    })
    await expect(pullInTime(registry.host)).rejects.toThrow(coded('oci.offline'))
  })
})

test('answers that are no HTTP, or have a head without end', async () => {
  for (const head of ['SSH-2.0-OpenSSH\r\n', `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(200_000)}\r\n\r\n`]) {
    await using registry = await serve((request, response) => {
      if (!isManifest(request)) return false
      response.socket?.end(head)
      return true
    })
    await expect(pull(registry.host)).rejects.toThrow(coded('oci.registry'))
  }
})

test('a redirect from https to http is refused', async () => {
  const certificates = await makeCertificates(path.join(folder, 'certificates'))
  const options = { cert: await readFile(certificates.certificate), key: await readFile(certificates.key) }
  const server = createTlsServer(options, (request, response) => {
    if (request.url === '/v2/') response.end('{}')
    else response.writeHead(307, { location: `http://127.0.0.1:1${request.url}` }).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    const host = `127.0.0.1:${portOf(server.address())}`
    await expect(pull(host, { certificateAuthority: certificates.authority })).rejects.toThrow(
      'it redirects to 127.0.0.1:1 without encryption',
    )
  } finally {
    server.closeAllConnections()
    server.close()
  }
})

test('an error keeps what the registry said', async () => {
  const body = JSON.stringify({ errors: [{ code: 'DENIED', message: 'quota exceeded' }] })
  await using registry = await serve(
    (request, response) => isManifest(request) && Boolean(response.writeHead(400).end(body)),
  )
  await expect(pull(registry.host)).rejects.toThrow('it answered 400 (quota exceeded)')
})

test.each<[string, (response: ServerResponse) => void]>([
  ['declared, and there', (response) => response.writeHead(200, encodedGzip(true)).end(gzipSync(layer))],
  [
    'declared without a length, and there',
    (response) => response.writeHead(200, encodedGzip(false)).end(gzipSync(layer)),
  ],
  ['declared only', (response) => response.writeHead(200, encodedGzip(false)).end(layer)],
])('an encoding of a layer that nobody asked for: %s', async (_, answer) => {
  await using registry = await serve((request, response) => {
    if (!isLayer(request)) return false
    answer(response)
    return true
  })
  expect(await pull(registry.host)).toMatchObject({ isNew: true })
  expect(await store.blobs.has({ digest: digestOf(layer), size: layer.length })).toBe(true)
})

test('an encoding that is undone without end stops at the size of the layer', async () => {
  const bomb = gzipSync(Buffer.alloc(64 * 2 ** 20))
  await using registry = await serve((request, response) => {
    if (!isLayer(request)) return false
    response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': bomb.length }).end(bomb)
    return true
  })
  await expect(pull(registry.host)).rejects.toThrow(coded('oci.size-mismatch'))
  await expectNothingStored()
})

test('giving up in the middle of a layer ends the pull at once', async () => {
  const leaving = new AbortController()
  await using registry = await serve((request, response) => {
    if (!isLayer(request)) return false
    response.writeHead(200, { 'content-length': layer.length })
    response.write(layer.subarray(0, 100), () => leaving.abort())
    return true
  })
  const pulled = pullImage({ reference: `${registry.host}/web:made` }, store, {
    retryPolicy,
    signal: leaving.signal,
  })
  await expect(pulled).rejects.toThrow(coded('oci.cancelled'))
  await expectNothingStored()
})

describe('credentials', () => {
  const credentials = { username: 'reader', password: 'secret' }
  const basic = `Basic ${Buffer.from('reader:secret').toString('base64')}`
  const wants =
    (challenge: string): Script =>
    (request, response) => {
      if (request.headers.authorization !== undefined) return false
      response.writeHead(401, { 'www-authenticate': challenge }).end()
      return true
    }

  test('go to no token server on another host, and the error names it', async () => {
    await using thief = await startScriptedRegistry(
      made.layout,
      (_, response) => Boolean(response.writeHead(403).end()),
      '127.0.0.2',
    )
    await using registry = await serve(wants(`Bearer realm="http://${thief.host}/token",service="x"`))
    await expect(pull(registry.host, { credentials })).rejects.toThrow(
      expect.objectContaining({ code: 'oci.realm-not-trusted', data: { host: thief.host } }),
    )
    expect(thief.authorizations).toEqual([undefined])
    expect(registry.authorizations.every((header) => header === undefined)).toBe(true)
  })

  test('go there once the user has approved it', async () => {
    const token = Buffer.from(JSON.stringify({ access_token: 'abc', expires_in: 60 }))
    await using tokens = await startScriptedRegistry(
      made.layout,
      (_, response) => Boolean(response.end(token)),
      '127.0.0.2',
    )
    await using registry = await serve(
      wants(`Bearer realm="http://${tokens.host}/token?account=x",service="y z"`),
    )
    await pull(registry.host, { credentials, trustedRealms: ['127.0.0.2'] })
    expect(tokens.authorizations).toEqual([basic])
    expect(tokens.log).toEqual(['GET /token?account=x&service=y+z&scope=repository%3Aweb%3Apull'])
    expect(
      registry.authorizations
        .filter((header) => header !== undefined)
        .every((header) => header === 'Bearer abc'),
    ).toBe(true)
  })

  test('an identity token is exchanged with OAuth 2', async () => {
    let body = ''
    await using tokens = await serve((request, response) => {
      request.on('data', (chunk) => {
        body += chunk
      })
      request.on('end', () => response.end('{"access_token":"abc"}'))
      return true
    })
    await using registry = await serve(wants(`Bearer realm="http://${tokens.host}/token",service="x"`))
    await pull(registry.host, { credentials: { identityToken: 'refresh me' } })
    expect(Object.fromEntries(new URLSearchParams(body))).toEqual({
      grant_type: 'refresh_token',
      client_id: 'bulkhead',
      refresh_token: 'refresh me',
      service: 'x',
      scope: 'repository:web:pull',
    })
  })

  test('a token server that redirects is not followed', async () => {
    await using elsewhere = await serve(() => false)
    await using tokens = await serve((_, response) =>
      Boolean(response.writeHead(307, { location: `http://${elsewhere.host}/` }).end()),
    )
    await using registry = await serve(wants(`Bearer realm="http://${tokens.host}/token"`))
    await expect(pull(registry.host, { credentials })).rejects.toThrow('answered 307')
    expect(elsewhere.log).toEqual([])
  })

  test('are not taken along by a redirect to another origin', async () => {
    await using storage = await serve(() => false)
    await using registry = await serve((request, response) => {
      if (wants('Basic realm="x"')(request, response)) return true
      if (request.url?.includes('/blobs/') !== true) return false
      response.writeHead(307, { location: `http://${storage.host}${request.url}` }).end()
      return true
    })
    expect(await pull(registry.host, { credentials })).toMatchObject({ isNew: true })
    expect(storage.log).toHaveLength(3)
    expect(storage.authorizations).toEqual([undefined, undefined, undefined])
    expect(registry.authorizations).toContain(basic)
  })

  test('a token server that is overloaded for a moment is asked again', async () => {
    const overloaded = firstTimes(
      1,
      () => true,
      (response) => response.writeHead(503).end(),
    )
    await using tokens = await serve(
      (request, response) => overloaded(request, response) || Boolean(response.end('{"token":"abc"}')),
    )
    await using registry = await serve(wants(`Bearer realm="http://${tokens.host}/token"`))
    expect(await pull(registry.host)).toMatchObject({ isNew: true })
    expect(tokens.log).toHaveLength(2)
  })

  test('a token that runs out in the middle is got again', async () => {
    let issued = 0
    await using registry = await serve((request, response) => {
      if (request.url?.startsWith('/token') === true) {
        issued += 1
        response.end(JSON.stringify({ token: `t${issued}` }))
        return true
      }
      const wanted = isLayer(request) ? 'Bearer t2' : 'Bearer t'
      if (request.headers.authorization?.startsWith(wanted) === true) return false
      const realm = `http://${request.headers.host}/token`
      response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}"` }).end()
      return true
    })
    expect(await pull(registry.host)).toMatchObject({ isNew: true })
    expect(issued).toBe(2)
  })
})

describe('redirects', () => {
  const redirectTo =
    (location: string): Script =>
    (request, response) =>
      request.url?.includes('/blobs/') === true && Boolean(response.writeHead(302, { location }).end())

  test.each(['http://169.254.169.254/latest/', 'http://[fe80::1]/', 'http://0.0.0.0:1/'])(
    'to %s are refused',
    async (location) => {
      await using registry = await serve(redirectTo(location))
      await expect(pull(registry.host)).rejects.toThrow(coded('oci.address-not-allowed'))
    },
  )

  test.each(['file:///etc/passwd', 'http://user:password@127.0.0.1/'])(
    'to %s are refused',
    async (location) => {
      await using registry = await serve(redirectTo(location))
      await expect(pull(registry.host)).rejects.toThrow(coded('oci.registry'))
    },
  )

  test('that go in circles are refused', async () => {
    await using registry = await serve(
      (request, response) =>
        request.url?.includes('/blobs/') === true &&
        Boolean(response.writeHead(302, { location: request.url }).end()),
    )
    await expect(pull(registry.host)).rejects.toThrow('redirects more than 5 times')
  })
})
