// How registries ask for a login, in every shape that was seen or could be, and where credentials may go.

import { mkdtemp, rm } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type PullRequest, pullImage } from '../../core/oci/registry/pull-image.ts'
import type { Credentials } from '../../core/oci/registry/registry-access.ts'
import { ImageStore } from '../../core/oci/store/image-store.ts'
import { type MadeImage, makeImage } from './made-images.ts'
import { type Script, type ScriptedRegistry, startScriptedRegistry } from './scripted-registry.ts'

const credentials = { username: 'reader', password: 'se:cret' }
const basic = `Basic ${Buffer.from('reader:se:cret').toString('base64')}`
const retryPolicy = { attempts: 3, baseDelayMs: 1, maxDelayMs: 1000 }

let folder: string
let made: MadeImage
let store: ImageStore

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'bulkhead-auth-'))
  made = await makeImage(path.join(folder, 'made'))
})
afterAll(() => rm(folder, { recursive: true }))
beforeEach(async () => {
  store = await ImageStore.open(await mkdtemp(path.join(folder, 'root-')))
})
afterEach(() => store[Symbol.asyncDispose]())

const serve = (script: Script, address?: string) => startScriptedRegistry(made.layout, script, address)
const pull = (host: string, request: Partial<PullRequest> = {}) =>
  pullImage({ reference: `${host}/web:made`, ...request }, store, { retryPolicy })
const coded = (code: string) => expect.objectContaining({ code })

interface Ask {
  /** Values of WWW-Authenticate; `$HOST` is the registry's. */
  readonly challenges: readonly string[]
  /** The Authorization that it takes. */
  readonly takes: string
  readonly status?: number
}

/** A registry that wants a login, and a token server at /token that gives what `issue` says. */
function asking(
  { challenges, takes, status = 401 }: Ask,
  issue: (request: IncomingMessage, response: ServerResponse) => void = (_, response) =>
    response.end('{"token":"abc","expires_in":300}'),
): Script {
  return (request, response) => {
    if (request.url?.startsWith('/token') === true) {
      issue(request, response)
      return true
    }
    if (request.headers.authorization === takes) return false
    const { host = '' } = request.headers
    const values = challenges.map((text) => text.replaceAll('$HOST', host))
    if (values.length > 0) response.setHeader('www-authenticate', values)
    response.writeHead(status).end('{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}')
    return true
  }
}

const REALM = 'realm="http://$HOST/token"'

describe('a 401', () => {
  test.each<[string, Ask]>([
    ['bearer', { challenges: [`Bearer ${REALM},service="x"`], takes: 'Bearer abc' }],
    [
      'bearer in odd letters and spaces',
      { challenges: [`bEARER   REALM = "http://$HOST/token" ,  Service=x`], takes: 'Bearer abc' },
    ],
    [
      'a quoted comma and a quoted quote',
      { challenges: [`Bearer error="a, \\"b\\", Basic c=d",${REALM}`], takes: 'Bearer abc' },
    ],
    ['bearer without a service', { challenges: [`Bearer ${REALM}`], takes: 'Bearer abc' }],
    [
      'two challenges in one header',
      { challenges: [`Basic realm="x", Bearer ${REALM}`], takes: 'Bearer abc' },
    ],
    ['two headers', { challenges: ['Basic realm="x"', `Bearer ${REALM}`], takes: 'Bearer abc' }],
    [
      'one that nobody knows before',
      { challenges: [`Negotiate, Digest realm="y", nonce="z", Bearer ${REALM}`], takes: 'Bearer abc' },
    ],
    ['basic', { challenges: ['Basic realm="x"'], takes: basic }],
    ['basic without a realm', { challenges: ['Basic'], takes: basic }],
    ['basic with utf-8', { challenges: ['Basic realm="x", charset="UTF-8"'], takes: basic }],
    ['no challenge at all', { challenges: [], takes: basic }],
    [
      'bearer without a realm beside basic',
      { challenges: ['Bearer service="x"', 'Basic realm="x"'], takes: basic },
    ],
    [
      'bearer at a strange host beside basic',
      { challenges: ['Bearer realm="http://127.0.0.3:1/token", Basic realm="x"'], takes: basic },
    ],
    [
      '403 for a scope that is too narrow',
      { challenges: [`Bearer ${REALM},error="insufficient_scope"`], takes: 'Bearer abc', status: 403 },
    ],
  ])('as %s is answered', async (_, ask) => {
    await using registry = await serve(asking(ask))
    expect(await pull(registry.host, { credentials })).toMatchObject({ isNew: true })
  })

  test.each<[string, readonly string[], string]>([
    [
      'a scheme that nobody speaks',
      ['Negotiate', 'NTLM'],
      'it offers no method that is supported (negotiate, ntlm)',
    ],
    ['bearer without a realm', ['Bearer service="x"'], 'its token server "" is not a URL'],
    ['a realm that is no URL', ['Bearer realm="token"'], 'is not a URL'],
    ['a realm of another protocol', ['Bearer realm="file:///etc/passwd"'], 'is not an HTTP URL'],
    ['a realm with a user', ['Bearer realm="http://a:b@127.0.0.1/"'], 'contains a user name'],
    [
      'a realm in the metadata network',
      ['Bearer realm="http://169.254.169.254/token"'],
      'is not an address that it may send us to',
    ],
  ])('as %s is an error that says so', async (_, challenges, reason) => {
    await using registry = await serve(asking({ challenges, takes: 'never' }))
    await expect(pull(registry.host)).rejects.toThrow(reason)
  })

  test('without end is given up after two logins', async () => {
    for (const challenge of [
      `Bearer ${REALM}`,
      'Basic realm="x"',
      `Bearer ${REALM},scope="a b c",error="insufficient_scope"`,
    ]) {
      await using registry = await serve(asking({ challenges: [challenge], takes: 'never' }))
      await expect(pull(registry.host, { credentials })).rejects.toThrow(coded('oci.auth-failed'))
      expect(registry.log.filter((line) => line.includes('/manifests/')).length).toBeLessThanOrEqual(6)
    }
  })

  test('from a store of blobs that the registry leads to is not answered', async () => {
    const thief = asking({ challenges: ['Basic realm="x"'], takes: 'never' })
    await using storage = await serve(thief)
    await using registry = await serve((request, response) => {
      if (asking({ challenges: ['Basic realm="x"'], takes: basic })(request, response)) return true
      if (request.url?.includes('/blobs/') !== true) return false
      response.writeHead(307, { location: `http://${storage.host}${request.url}` }).end()
      return true
    })
    await expect(pull(registry.host, { credentials })).rejects.toThrow(
      `Cannot read from ${storage.host}: it answered 401 (authentication required)`,
    )
    expect(storage.authorizations.every((header) => header === undefined)).toBe(true)
  })
})

test('a 403 keeps what the registry said', async () => {
  const body =
    '{"errors":[{"code":"DENIED","message":"requested access to the resource is denied\\u001b[31m"}]}'
  await using registry = await serve((_, response) => Boolean(response.writeHead(403).end(body)))
  await expect(pull(registry.host)).rejects.toThrow(
    `Cannot read from ${registry.host}: it wants a login, or there is no such image`,
  )
  await expect(pull(registry.host, { credentials })).rejects.toThrow(/may not read the image/)
})

describe('the scope', () => {
  /** A registry whose tokens are good once `enough` of the scopes asked for are in them. */
  const scoped = (challengeScope: string, enough: (scopes: string[]) => boolean): Script =>
    asking(
      { challenges: [`Bearer ${REALM},service="x",scope="${challengeScope}"`], takes: 'Bearer good' },
      (request, response) => {
        const scopes = new URL(request.url ?? '', 'http://x').searchParams.getAll('scope')
        response.end(JSON.stringify({ token: enough(scopes) ? 'good' : 'narrow' }))
      },
    )
  const asked = ({ log }: ScriptedRegistry) =>
    log
      .filter((line) => line.includes('/token'))
      .map((line) => new URL(line.slice(4), 'http://x').searchParams.getAll('scope'))

  test('is ours, and the one that the server names is added when ours is not enough', async () => {
    await using registry = await serve(scoped('aws', (scopes) => scopes.includes('aws')))
    await pull(registry.host)
    expect(asked(registry)).toEqual([['repository:web:pull'], ['repository:web:pull', 'aws']])
  })

  test('never becomes more than reading, whatever the server names', async () => {
    const wishes =
      'repository:web:pull,push,delete repository:other/private:* registry:catalog:* repository:x:push'
    await using registry = await serve(scoped(wishes, (scopes) => scopes.length > 1))
    await pull(registry.host, { credentials })
    expect(asked(registry).at(-1)).toEqual(['repository:web:pull', 'repository:other/private:pull'])
  })
})

describe('a token server', () => {
  const take = { challenges: [`Bearer ${REALM},service="x"`], takes: 'Bearer abc' }

  test.each<[string, string]>([
    ['access_token', '{"access_token":"abc"}'],
    ['both', '{"token":"abc","access_token":"abc"}'],
    [
      'nothing but nulls beside',
      '{"token":null,"access_token":"abc","expires_in":null,"refresh_token":null}',
    ],
    ['times as text', '{"token":"abc","expires_in":"300","issued_at":"now"}'],
    ['a refresh token, which is not kept', '{"token":"abc","refresh_token":"keep me"}'],
  ])('that gives %s', async (_, answer) => {
    await using registry = await serve(asking(take, (__, response) => response.end(answer)))
    expect(await pull(registry.host, { credentials })).toMatchObject({ isNew: true })
  })

  test.each<[string, string]>([
    ['no token', '{}'],
    ['a token with a line break', '{"token":"a\\r\\nx: y"}'],
    ['text', 'hello'],
    ['a list', '["abc"]'],
    ['two tokens under one name', '{"token":"abc","token":"abc"}'],
  ])('that gives %s is named in the error', async (_, answer) => {
    await using registry = await serve(asking(take, (__, response) => response.end(answer)))
    await expect(pull(registry.host, { credentials })).rejects.toThrow(
      new RegExp(`its token server ${registry.host} gave`),
    )
  })

  test('whose answer does not end is cut off', async () => {
    await using registry = await serve(
      asking(take, (_, response) => {
        const more = () => {
          while (response.write(Buffer.alloc(65536, 32)));
        }
        response.on('drain', more)
        more()
      }),
    )
    await expect(pull(registry.host, { credentials })).rejects.toThrow(coded('oci.limit'))
  })

  test('is told the credentials and nobody else is; a refusal says who refused', async () => {
    await using registry = await serve(
      asking(take, (_, response) =>
        response.writeHead(401).end('{"details":"incorrect username or password"}'),
      ),
    )
    await expect(pull(registry.host, { credentials })).rejects.toThrow(coded('oci.auth-failed'))
    const perRequest = registry.authorizations.filter((header) => header === basic)
    expect(perRequest).toHaveLength(1)
  })

  /** Which requests for a token came: their method, the user of basic authentication, the grant of OAuth 2. */
  async function waysOf(given: Credentials, accepts: (way: string) => boolean): Promise<string[]> {
    const ways: string[] = []
    await using registry = await serve(
      asking(take, (request, response) => {
        let body = ''
        request.on('data', (chunk) => {
          body += chunk
        })
        request.on('end', () => {
          const [, encoded = ''] = request.headers.authorization?.split(' ') ?? []
          const user = Buffer.from(encoded, 'base64').toString().split(':')[0]
          const way = `${request.method} ${new URLSearchParams(body).get('grant_type') ?? user}`
          ways.push(way)
          if (accepts(way)) response.end('{"access_token":"abc"}')
          else response.writeHead(404).end()
        })
      }),
    )
    await pull(registry.host, { credentials: given })
    return ways
  }

  test('that has no OAuth 2 gets an identity token as a password', async () => {
    expect(await waysOf({ identityToken: 'i' }, () => true)).toEqual(['POST refresh_token'])
    await store[Symbol.asyncDispose]()
    store = await ImageStore.open(await mkdtemp(path.join(folder, 'root-')))
    expect(await waysOf({ identityToken: 'i' }, (way) => way.startsWith('GET'))).toEqual([
      'POST refresh_token',
      'GET <token>',
    ])
  })

  test('that has only OAuth 2 gets a password with POST', async () => {
    expect(await waysOf(credentials, (way) => way.startsWith('POST'))).toEqual([
      'GET reader',
      'POST password',
    ])
  })
})
