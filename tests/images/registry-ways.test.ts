// The ways to a real registry: client certificates, proxies, mirrors; and what it tells beside images.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { checkRegistry } from '../../core/oci/registry/check-registry.ts'
import { listTags } from '../../core/oci/registry/list-tags.ts'
import { type PullRequest, pullImage } from '../../core/oci/registry/pull-image.ts'
import { ImageStore } from '../../core/oci/store/image-store.ts'
import { type ForwardProxy, startForwardProxy } from './forward-proxy.ts'
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
import { startScriptedRegistry } from './scripted-registry.ts'

const credentials = { username: USER, password: PASSWORD }
const retryPolicy = { attempts: 3, baseDelayMs: 1, maxDelayMs: 1000 }

let folder: string
let made: MadeImage
let certificates: Certificates
/** Open, with `team/web:1`. */
let open: RunningServer
/** With TLS and a password file, with `team/web:1`. */
let secure: RunningServer
let tokens: TokenServer
let withTokens: RunningServer
let store: ImageStore

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'bulkhead-ways-'))
  made = await makeImage(path.join(folder, 'made'))
  certificates = await makeCertificates(path.join(folder, 'certificates'))
  open = await startRegistry(path.join(folder, 'open'), { auth: 'none' })
  const tls = { auth: 'htpasswd', tls: certificates } as const
  secure = await startRegistry(path.join(folder, 'secure'), tls)
  tokens = await startTokenServer(certificates)
  const realm = `http://${tokens.host}/token`
  withTokens = await startRegistry(path.join(folder, 'tokens'), {
    auth: 'token',
    realm,
    signer: certificates,
  })
  const from = `oci:${made.layout}:made`
  await skopeoCopy(from, `docker://${open.host}/team/web:1`, '--dest-tls-verify=false')
  const login = ['--dest-creds', `${USER}:${PASSWORD}`]
  await skopeoCopy(
    from,
    `docker://${secure.host}/team/web:1`,
    '--dest-cert-dir',
    certificates.folder,
    ...login,
  )
})

afterAll(async () => {
  for (const server of [open, secure, withTokens, tokens]) await server[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

beforeEach(async () => {
  store = await ImageStore.open(await mkdtemp(path.join(folder, 'root-')))
})

afterEach(() => store[Symbol.asyncDispose]())

const pull = (request: PullRequest, log?: (message: string) => void) =>
  pullImage(request, store, { retryPolicy, log })
const coded = (code: string) => expect.objectContaining({ code })

test('a registry that wants a client certificate: with it, without it, with one that does not fit its key', async () => {
  const kind = { auth: 'none', tls: certificates, wantsClientCertificate: true } as const
  await using registry = await startRegistry(path.join(folder, 'client'), kind)
  const reference = `${registry.host}/team/web:1`
  const trust = ['--dest-cert-dir', certificates.folder]
  await skopeoCopy(`oci:${made.layout}:made`, `docker://${reference}`, ...trust)
  const access = { certificateAuthority: certificates.authority }
  const clientCertificate = certificates.client
  expect(await pull({ reference, ...access, clientCertificate })).toMatchObject({ isNew: true })
  await expect(pull({ reference, ...access })).rejects.toThrow('it wants a client certificate')
  const wrong = { certificate: clientCertificate.certificate, key: 'no key' }
  await expect(pull({ reference, ...access, clientCertificate: wrong })).rejects.toThrow(coded('oci.tls'))
  await expect(
    pull({ reference, certificateAuthority: 'no certificate', clientCertificate }),
  ).rejects.toThrow(coded('oci.tls'))
})

describe('a forward proxy', () => {
  const hosts = { 'registry.test': '127.0.0.1' }
  const named = ({ host }: RunningServer) => host.replace('127.0.0.1', 'registry.test')
  const addressOf = (proxy: ForwardProxy, user = '') => ({
    http: `http://${user}${proxy.host}`,
    https: `http://${user}${proxy.host}`,
  })

  test('carries HTTPS in a tunnel, to a name that only it knows, and does not see what is in it', async () => {
    await using proxy = await startForwardProxy({ hosts })
    const reference = `${named(secure)}/team/web:1`
    const access = { credentials, certificateAuthority: certificates.authority, proxy: addressOf(proxy) }
    expect(await pull({ reference, ...access })).toMatchObject({ isNew: true })
    expect(new Set(proxy.log)).toEqual(new Set([`CONNECT ${named(secure)}`]))
    await expect(pull({ reference, ...access, proxy: {} })).rejects.toThrow('its name is not known')
  })

  test('carries plain HTTP in absolute form, with its own credentials, which the registry does not see', async () => {
    await using proxy = await startForwardProxy({ hosts, credentials: 'me:pass word' })
    const reference = `${named(open)}/team/web:1`
    const access = { plainHttp: true, proxy: addressOf(proxy, 'me:pass%20word@') }
    expect(await pull({ reference, ...access })).toMatchObject({ isNew: true })
    expect(proxy.log).toContain(
      `GET http://${named(open)}/v2/team/web/manifests/${(await readLayout(made.layout)).entry.digest}`,
    )
    expect(proxy.refused).toEqual([])
  })

  test.each(['', 'me:wrong@'])('that refuses "%s" is named, and its password is not', async (user) => {
    await using proxy = await startForwardProxy({ hosts, credentials: 'me:right' })
    for (const [server, plainHttp] of [
      [secure, false],
      [open, true],
    ] as const) {
      const failed = pull({
        reference: `${named(server)}/team/web:1`,
        plainHttp,
        proxy: addressOf(proxy, user),
      })
      await expect(failed).rejects.toThrow(
        expect.objectContaining({
          code: 'oci.offline',
          message: `Cannot reach ${named(server)}: the proxy ${proxy.host} wants a login, or refused the one in its address`,
        }),
      )
    }
  })

  test('is not used for this machine, nor for what is excepted', async () => {
    await using proxy = await startForwardProxy({ hosts })
    await pull({ reference: `${open.host}/team/web:1`, proxy: addressOf(proxy) })
    const excepted = { ...addressOf(proxy), except: '.test' }
    await expect(pull({ reference: `${named(secure)}/team/web:1`, proxy: excepted })).rejects.toThrow(
      'its name is not known',
    )
    expect(proxy.log).toEqual([])
  })

  test('does not take what the registry may not lead to', async () => {
    await using proxy = await startForwardProxy({ hosts })
    await using registry = await startScriptedRegistry(made.layout, (request, response) => {
      if (request.url?.includes('/blobs/') !== true) return false
      response.writeHead(302, { location: 'http://169.254.169.254/latest/' }).end()
      return true
    })
    const request = { reference: `${named(registry)}/web:made`, plainHttp: true, proxy: addressOf(proxy) }
    await expect(pull(request)).rejects.toThrow(coded('oci.address-not-allowed'))
    expect(proxy.log.filter((line) => line.includes('169.254'))).toEqual([])
  })

  test('that is not there is said to be missing, not the registry', async () => {
    const proxy = await startForwardProxy()
    await proxy[Symbol.asyncDispose]()
    await expect(pull({ reference: `${named(secure)}/team/web:1`, proxy: addressOf(proxy) })).rejects.toThrow(
      `Cannot reach ${named(secure)} through the proxy ${proxy.host}: nothing listens there`,
    )
  })
})

describe("Docker's registry as a mirror", () => {
  test('fetches through from the registry behind it, which is not asked by us', async () => {
    const kind = { auth: 'none', mirrorOf: `http://${open.host}` } as const
    await using mirror = await startRegistry(path.join(folder, 'mirror'), kind)
    const messages: string[] = []
    const request = {
      // Nobody listens there: what comes, comes from the mirror.
      reference: '127.0.0.1:9/team/web:1',
      mirrors: [{ host: mirror.host }],
    }
    const { digest } = await pull(request, (message) => messages.push(message))
    expect(digest).toBe((await readLayout(made.layout)).entry.digest)
    expect(messages).toEqual([])
    expect((await store.openImage('127.0.0.1:9/team/web:1')).config.run.Cmd).toEqual(made.command)
  })
})

describe('tags', () => {
  beforeAll(async () => {
    for (const tag of ['a', 'b', 'c', 'd', 'e'])
      await skopeoCopy(
        `oci:${made.layout}:made`,
        `docker://${open.host}/team/tags:${tag}`,
        '--dest-tls-verify=false',
      )
  })

  test('come in pages, also from a registry that ignores how many were asked for and in which order', async () => {
    const repository = `${open.host}/team/tags`
    const seen: string[] = []
    for (let after: string | undefined; ; after = seen.at(-1)) {
      const { tags, hasMore } = await listTags({ repository, limit: 2, after })
      expect(tags.length).toBeLessThanOrEqual(2)
      seen.push(...tags)
      if (!hasMore) break
    }
    expect(seen.sort()).toEqual(['a', 'b', 'c', 'd', 'e'])
  })

  test('of a registry with a password, and of a repository that there is not', async () => {
    const access = { credentials, certificateAuthority: certificates.authority }
    const found = await listTags({ repository: `${secure.host}/team/web`, limit: 10, ...access })
    expect(found.tags).toEqual(['1'])
    await expect(listTags({ repository: `${open.host}/nobody/nothing`, limit: 10 })).rejects.toThrow(
      `There is no repository "${open.host}/nobody/nothing" on ${open.host}`,
    )
  })
})

describe('checkRegistry()', () => {
  const access = () => ({ certificateAuthority: undefined as string | undefined })
  const check = (host: string, request: Omit<PullRequest, 'reference'> = access()) =>
    checkRegistry({ registry: host, ...request }, { retryPolicy })

  test('tells who wants no login from who takes it', async () => {
    expect(await check(open.host)).toEqual({ registry: open.host, login: 'not-wanted' })
    expect(await check(open.host, { credentials })).toEqual({ registry: open.host, login: 'not-wanted' })
    const certificateAuthority = certificates.authority
    const found = await check(`https://${secure.host}/`, { credentials, certificateAuthority })
    expect(found).toEqual({ registry: secure.host, login: 'accepted' })
    expect(await check(withTokens.host, { credentials })).toMatchObject({ login: 'accepted' })
  })

  test('wrong credentials, none, and a token server that may not see them', async () => {
    const wrong = { username: USER, password: 'wrong' }
    const certificateAuthority = certificates.authority
    for (const [host, rest] of [
      [secure.host, { certificateAuthority }],
      [withTokens.host, {}],
    ] as const) {
      await expect(check(host, { ...rest, credentials: wrong })).rejects.toThrow(coded('oci.auth-failed'))
      await expect(check(host, rest)).rejects.toThrow(coded('oci.auth-required'))
    }
  })

  test('what is no registry', async () => {
    for (const [status, type] of [
      [200, 'text/html; charset=utf-8'],
      [404, 'application/json'],
      [418, 'text/plain'],
    ] as const) {
      await using server = await startScriptedRegistry(made.layout, (_, response) => {
        response.writeHead(status, { 'content-type': type }).end('hello')
        return true
      })
      await expect(check(server.host)).rejects.toThrow(coded('oci.registry'))
    }
    await expect(check('not a host')).rejects.toThrow(coded('oci.bad-reference'))
    await expect(check('127.0.0.1:9')).rejects.toThrow(coded('oci.offline'))
  })
})
