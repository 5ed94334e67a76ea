import { readdirSync, readFileSync, readlinkSync, statSync, symlinkSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { authEntry, CredentialFolder } from './credential-folder.fixture.ts'
import { findCredentials } from './find-credentials.ts'
import { forgetCredentials, keepCredentials } from './keep-credentials.ts'

let folder: CredentialFolder
beforeEach(() => {
  folder = new CredentialFolder()
})
afterEach(() => folder[Symbol.dispose]())

const me = { username: 'me', password: 'se:cret' }
const docker = '.docker/config.json'
const dockerConfig = () => ({ path: folder.path(docker), style: 'docker' as const })
const authJson = () => ({ path: folder.path('auth.json'), style: 'containers' as const })
const options = () => ({ environment: folder.environment })

describe('keepCredentials()', () => {
  it("makes docker's file, for its owner alone", async () => {
    expect(await keepCredentials(dockerConfig(), 'docker.io', me, options())).toEqual({})
    expect(folder.json(docker)).toEqual({ auths: { 'https://index.docker.io/v1/': authEntry('me:se:cret') } })
    expect(statSync(folder.path(docker)).mode & 0o777).toBe(0o600)
    expect(statSync(folder.path('.docker')).mode & 0o777).toBe(0o700)
    expect((await findCredentials('docker.io/library/x', options())).credentials).toEqual(me)
  })

  it('keeps all else in the file, and leaves nothing beside it', async () => {
    folder.write(
      docker,
      '{"detachKeys":"ctrl-x","auths":{"a.io":{"auth":"eDp5"}},"unknown":{"z":[1,null]}}',
      0o644,
    )
    await keepCredentials(dockerConfig(), 'b.io', { identityToken: 'tok' }, options())
    expect(readFileSync(folder.path(docker), 'utf8')).toBe(
      `${JSON.stringify(
        {
          detachKeys: 'ctrl-x',
          auths: { 'a.io': { auth: 'eDp5' }, 'b.io': { identitytoken: 'tok' } },
          unknown: { z: [1, null] },
        },
        null,
        '\t',
      )}\n`,
    )
    expect(statSync(folder.path(docker)).mode & 0o777).toBe(0o600)
    expect(readdirSync(folder.path('.docker'))).toEqual(['config.json'])
  })

  it('leaves a link a link', async () => {
    folder.write('dotfiles/config.json', {})
    folder.write('.docker/x', '')
    symlinkSync(folder.path('dotfiles/config.json'), folder.path(docker))
    await keepCredentials(dockerConfig(), 'b.io', me, options())
    expect(readlinkSync(folder.path(docker))).toBe(folder.path('dotfiles/config.json'))
    expect(folder.json('dotfiles/config.json')).toHaveProperty('auths')
  })

  it("keeps a part of a registry under its name in podman's file", async () => {
    await keepCredentials(authJson(), 'quay.io/team', me, options())
    await keepCredentials(authJson(), 'docker.io', me, options())
    expect(Object.keys(folder.json('auth.json').auths ?? {})).toEqual(['quay.io/team', 'docker.io'])
  })

  it('lets the helper keep them where the file names one, and takes the old ones out of the file', async () => {
    folder.helper('x', '')
    folder.write(docker, { credsStore: 'x', auths: { 'a.io': { ...authEntry('old:x'), email: 'me@a.io' } } })
    expect(await keepCredentials(dockerConfig(), 'a.io', me, options())).toEqual({ helper: 'x' })
    expect(folder.asked).toEqual(['store {"ServerURL":"a.io","Username":"me","Secret":"se:cret"}'])
    expect(folder.json(docker)).toEqual({ credsStore: 'x', auths: { 'a.io': { email: 'me@a.io' } } })
  })

  it('changes nothing where the helper fails', async () => {
    folder.write(docker, { credsStore: 'gone' })
    await expect(keepCredentials(dockerConfig(), 'a.io', me, options())).rejects.toThrow(
      'it is not installed',
    )
    expect(folder.json(docker)).toEqual({ credsStore: 'gone' })
  })

  it('says where it cannot write', async () => {
    folder.write('.docker', 'a file where a folder is due')
    await expect(keepCredentials(dockerConfig(), 'a.io', me, options())).rejects.toMatchObject({
      code: 'client.file',
      message: expect.stringContaining(`Cannot write the registry credentials to ${folder.path(docker)}: `),
    })
  })
})

describe('forgetCredentials()', () => {
  it('takes all names of a registry out, and nothing else', async () => {
    folder.write(docker, {
      auths: { 'https://a.io/v1/': authEntry('a:b'), 'a.io': authEntry('a:b'), 'a.io/part': {}, 'b.io': {} },
      more: 1,
    })
    expect(await forgetCredentials(dockerConfig(), 'a.io', options())).toBe(true)
    expect(folder.json(docker)).toEqual({ auths: { 'a.io/part': {}, 'b.io': {} }, more: 1 })
    expect(await forgetCredentials(dockerConfig(), 'a.io', options())).toBe(false)
  })

  it('makes the helper forget what it knows, and nothing else', async () => {
    const known = `'{"Username":"me","Secret":"x"}'`
    folder.helper('x', `[ "$1$input" = getb.io ] && { echo credentials not found; exit 1; }; echo ${known}`)
    folder.write(docker, { credsStore: 'x', auths: { 'a.io': {} } })
    expect(await forgetCredentials(dockerConfig(), 'a.io', options())).toBe(true)
    expect(await forgetCredentials(dockerConfig(), 'b.io', options())).toBe(false)
    expect(folder.asked).toEqual(['get a.io', 'erase a.io', 'get b.io'])
    expect(folder.json(docker)).toEqual({ credsStore: 'x', auths: {} })
  })

  it('has nothing to do where there is no file', async () => {
    expect(await forgetCredentials(dockerConfig(), 'a.io', options())).toBe(false)
  })
})
