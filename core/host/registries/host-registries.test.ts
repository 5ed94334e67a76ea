import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parseReference } from '../../oci/reference.ts'
import { policyFor } from '../../oci/signatures/policy.ts'
import type { RegistryRequest } from '../../runtime/registry-directory.ts'
import { HostRegistries } from './host-registries.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'host-registries-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const file = () => join(folder, 'registries.json')
const write = (settings: unknown) =>
  writeFileSync(file(), typeof settings === 'string' ? settings : JSON.stringify(settings), { mode: 0o644 })
/** Puts a file into a folder of certificates. */
const put = (path: string, text: string) => {
  mkdirSync(join(folder, path, '..'), { recursive: true })
  writeFileSync(join(folder, path), text)
}
const registries = () =>
  new HostRegistries({
    settingsFile: file(),
    certificateFolders: ['own', 'containers', 'docker'].map((name) => join(folder, name)),
    proxy: { https: 'http://environment:3128' },
  })
const resolve = (reference: string, request: RegistryRequest = {}) =>
  registries().resolve(parseReference(reference), request)

describe('HostRegistries', () => {
  it('says nothing about registries where there are no settings', async () => {
    expect(await resolve('busybox')).toEqual({
      access: {
        plainHttp: false,
        trustedRealms: [],
        mirrors: [],
        proxy: { https: 'http://environment:3128' },
      },
      signatures: {},
    })
  })

  it('goes by the longest name that a repository begins with, whole words only', async () => {
    const mirror = (host: string) => ({ mirrors: [{ host }] })
    write({
      registries: {
        'registry.example': mirror('all'),
        'registry.example/team': mirror('team'),
        'docker.io/library': mirror('official'),
      },
    })
    const mirrorsOf = async (reference: string) =>
      (await resolve(reference)).access.mirrors?.map(({ host }) => host)
    expect(await mirrorsOf('registry.example/team/app')).toEqual(['team'])
    expect(await mirrorsOf('registry.example/teamwork/app')).toEqual(['all'])
    expect(await mirrorsOf('Registry.Example:443/x')).toEqual(['all'])
    expect(await mirrorsOf('busybox')).toEqual(['official'])
    expect(await mirrorsOf('someone/busybox')).toEqual([])
  })

  it('reads its file anew each time', async () => {
    const one = registries()
    const realms = async () => (await one.resolve(parseReference('busybox'), {})).access.trustedRealms
    expect(await realms()).toEqual([])
    write({ registries: { 'docker.io': { trustedRealms: ['auth.example'] } } })
    expect(await realms()).toEqual(['auth.example'])
  })

  it('keeps what a client sends from mirrors, and adds it to what the host trusts', async () => {
    write({ registries: { 'registry.example': { mirrors: [{ host: 'mirror.example' }] } } })
    put('docker/registry.example/ca.crt', 'HOST AUTHORITY')
    put('docker/mirror.example/ca.crt', 'MIRROR AUTHORITY')
    put('docker/registry.example/us.cert', 'HOST CERTIFICATE')
    put('docker/registry.example/us.key', 'HOST KEY')
    const request = {
      credentials: { username: 'me', password: 'secret' },
      certificateAuthority: 'MY AUTHORITY',
      trustedRealms: ['auth.example'],
    }
    const { access } = await resolve('registry.example/app', request)
    expect(access).toMatchObject({
      credentials: request.credentials,
      certificateAuthority: 'HOST AUTHORITY\nMY AUTHORITY',
      clientCertificate: { certificate: 'HOST CERTIFICATE', key: 'HOST KEY' },
      trustedRealms: ['auth.example'],
      mirrors: [{ host: 'mirror.example', certificateAuthority: 'MIRROR AUTHORITY' }],
    })
    const own = { certificate: 'MINE', key: 'MY KEY' }
    expect((await resolve('registry.example/app', { clientCertificate: own })).access).toMatchObject({
      clientCertificate: own,
    })
  })

  it("takes the client's proxy before the file's before the environment's", async () => {
    write({ proxy: { http: 'http://file:3128' } })
    expect((await resolve('busybox')).access.proxy).toEqual({ http: 'http://file:3128' })
    const proxy = { https: 'http://mine:3128' }
    expect((await resolve('busybox', { proxy })).access.proxy).toEqual(proxy)
  })

  it('hands out the rules of signatures as they are, whatever a client asks for', async () => {
    write({ signatures: { '*': 'accept', 'docker.io': 'reject' } })
    const smuggled = { signatures: {}, mirrors: [{ host: 'evil.example' }] } as RegistryRequest
    const { access, signatures } = await resolve('busybox', smuggled)
    expect(access.mirrors).toEqual([])
    expect(policyFor(signatures, parseReference('busybox'))).toBe('reject')
  })
})

describe('an error in the settings', () => {
  it.each([
    ['{"registries": {', 'JSON'],
    ['{"signatures": {"*": "reject", "*": "accept"}}', '"*" occurs twice'],
    [{ registry: {} }, 'registry'],
    [
      { registries: { 'docker.io': { mirrors: [{ host: 'http://mirror' }] } } },
      'mirrors.0.host" is not a host',
    ],
    [{ registries: { 'docker.io': { mirrors: [{ host: '../../etc' }] } } }, 'mirrors.0.host'],
    [{ registries: { busybox: {} } }, 'registries.busybox'],
    [{ registries: { '*': {} } }, 'registries.*'],
    [{ registries: { 'docker.io': { mirror: [] } } }, 'registries.docker.io'],
    [{ signatures: { '*': { keys: ['no key'] } } }, 'signatures.*.keys.0'],
    [{ signatures: { '*': 'perhaps' } }, 'signatures.*'],
  ])('stops what would go by them, with file and field: %j', async (settings, field) => {
    write(settings)
    const failure = await resolve('busybox').catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'host.bad-settings' })
    await expect(registries().check()).rejects.toThrow(String((failure as Error).message))
    expect(String(failure)).toContain(`Cannot use the settings in ${file()}: `)
    expect(String(failure)).toContain(field.split('" ')[0])
  })

  it('is a file that others may write', async () => {
    write({})
    chmodSync(file(), 0o664)
    await expect(resolve('busybox')).rejects.toMatchObject({
      code: 'host.bad-settings',
      message: expect.stringContaining('others than root may write it'),
    })
  })

  it('is a folder in place of the file', async () => {
    mkdirSync(file())
    await expect(resolve('busybox')).rejects.toMatchObject({ code: 'host.bad-settings' })
  })
})

describe('certificates', () => {
  const access = async (reference = 'localhost:5000/app') => (await resolve(reference)).access

  it('come from the first folder that there is for the host, with its port', async () => {
    put('docker/localhost:5000/ca.crt', 'DOCKER')
    put('containers/localhost:5000/b.crt', 'B')
    put('containers/localhost:5000/a.crt', 'A')
    put('containers/localhost/ca.crt', 'OTHER PORT')
    expect((await access()).certificateAuthority).toBe('A\nB')
    put('own/localhost:5000/.keep', '')
    expect((await access()).certificateAuthority).toBeUndefined()
  })

  it('need a key for a certificate and a certificate for a key', async () => {
    put('docker/localhost:5000/us.cert', 'X')
    await expect(access()).rejects.toMatchObject({
      code: 'host.bad-certificates',
      message: expect.stringContaining('us.cert is there, and us.key is not'),
    })
    put('docker/localhost:5000/us.key', 'Y')
    expect((await access()).clientCertificate).toEqual({ certificate: 'X', key: 'Y' })
    put('docker/localhost:5000/other.key', 'Z')
    await expect(access()).rejects.toMatchObject({ message: expect.stringContaining('other.key is there') })
  })

  it('may be links, and one that leads nowhere is no certificate', async () => {
    put('real.crt', 'REAL')
    put('docker/localhost:5000/.keep', '')
    symlinkSync(join(folder, 'real.crt'), join(folder, 'docker/localhost:5000/a.crt'))
    symlinkSync(join(folder, 'gone.crt'), join(folder, 'docker/localhost:5000/b.crt'))
    expect((await access()).certificateAuthority).toBe('REAL')
  })

  it('are never looked for outside of the folders', async () => {
    put('outside/ca.crt', 'OUTSIDE')
    mkdirSync(join(folder, 'docker'))
    const name = { registry: '../outside', repository: '' }
    expect((await registries().resolve(name, {})).access.certificateAuthority).toBeUndefined()
  })
})

describe('the example in the documentation', () => {
  it('is read', async () => {
    const example = new URL('../../../docs/registries.example.json', import.meta.url)
    write(readFileSync(example, 'utf8'))
    const { access, signatures } = await resolve('busybox')
    expect(access.mirrors?.map(({ host, digestsOnly }) => [host, digestsOnly])).toEqual([
      ['mirror.intranet.example:5000', undefined],
      ['localhost:5001', true],
    ])
    const own = parseReference('registry.intranet.example:5000/team/app')
    expect(policyFor(signatures, own)).toMatchObject({ need: 'any', identity: 'exact-repository' })
    expect((await resolve('registry.intranet.example:5000/team/app')).access).toMatchObject({
      plainHttp: true,
      trustedRealms: ['login.intranet.example'],
    })
  })
})
