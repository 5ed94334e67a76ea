import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { authEntry, CredentialFolder } from './credential-folder.fixture.ts'
import { findCredentials } from './find-credentials.ts'

let folder: CredentialFolder
beforeEach(() => {
  folder = new CredentialFolder()
})
afterEach(() => folder[Symbol.dispose]())

const docker = '.docker/config.json'
const find = (scope: string, environment: Record<string, string> = {}) =>
  findCredentials(scope, { environment: { ...folder.environment, ...environment } })
const user = async (scope: string, environment?: Record<string, string>) => {
  const { credentials } = await find(scope, environment)
  return credentials === undefined || 'identityToken' in credentials ? credentials : credentials.username
}

describe('findCredentials()', () => {
  it('looks into the files in the order of containers, then of docker', async () => {
    const names = ['run/containers/auth.json', '.config/containers/auth.json', docker]
    for (const [index, name] of names.entries())
      folder.write(name, {
        auths: { [`r${index}.io`]: authEntry(`u${index}:x`), 'all.io': authEntry(`u${index}:x`) },
      })
    expect([
      await user('r0.io/a'),
      await user('r1.io/a'),
      await user('r2.io/a'),
      await user('all.io/a'),
    ]).toEqual(['u0', 'u1', 'u2', 'u0'])
    expect((await find('r2.io/a')).source).toBe(folder.path(docker))
  })

  it('takes other folders and files where the environment names them', async () => {
    folder.write('elsewhere/config.json', { auths: { 'a.io': authEntry('docker:x') } })
    folder.write('xdg/containers/auth.json', { auths: { 'b.io': authEntry('xdg:x') } })
    const environment = { DOCKER_CONFIG: folder.path('elsewhere'), XDG_CONFIG_HOME: folder.path('xdg') }
    expect([await user('a.io/x', environment), await user('b.io/x', environment)]).toEqual(['docker', 'xdg'])
  })

  it('looks into the file that REGISTRY_AUTH_FILE names and no other', async () => {
    folder.write(docker, { auths: { 'a.io': authEntry('docker:x') } })
    const file = folder.write('my.json', { auths: { 'b.io': authEntry('mine:x') } })
    expect([
      await user('a.io/x', { REGISTRY_AUTH_FILE: file }),
      await user('b.io/x', { REGISTRY_AUTH_FILE: file }),
    ]).toEqual([undefined, 'mine'])
  })

  it('prefers what is kept for a part of a registry, the narrowest first', async () => {
    folder.write('.config/containers/auth.json', {
      auths: {
        'quay.io': authEntry('all:x'),
        'quay.io/team': authEntry('team:x'),
        'quay.io/team/app': authEntry('app:x'),
      },
    })
    expect([
      await user('quay.io/team/app'),
      await user('quay.io/team/other'),
      await user('quay.io/teams'),
    ]).toEqual(['app', 'team', 'all'])
  })

  it.each<[string, unknown, string, unknown]>([
    ['a colon in the password', authEntry('me:se:cret'), 'ghcr.io', { username: 'me', password: 'se:cret' }],
    ['a name and a password', { username: 'a', password: 'b' }, 'ghcr.io', { username: 'a', password: 'b' }],
    ['an identity token', { ...authEntry('0:'), identitytoken: 'tok' }, 'ghcr.io', { identityToken: 'tok' }],
    ['an empty entry', {}, 'ghcr.io', undefined],
    ['what is no pair', authEntry('nocolon'), 'ghcr.io', undefined],
    ['another registry', authEntry('me:x'), 'quay.io', undefined],
  ])('reads %s', async (_what, entry, registry, credentials) => {
    folder.write(docker, { auths: { 'ghcr.io': entry } })
    expect((await find(`${registry}/a/b`)).credentials).toEqual(credentials)
  })

  it.each([
    ['https://index.docker.io/v1/', 'docker.io/library/busybox'],
    ['docker.io', 'docker.io/library/busybox'],
    ['registry-1.docker.io', 'docker.io/a/b'],
    ['http://localhost:5000', 'localhost:5000/a'],
    ['https://ghcr.io/v2/', 'ghcr.io/a'],
  ])('knows the old key %s', async (key, scope) => {
    folder.write(docker, { auths: { [key]: authEntry('me:x') } })
    expect(await user(scope)).toBe('me')
  })

  it('has none where there is nothing', async () => {
    expect(await find('docker.io/library/busybox')).toEqual({ warnings: [] })
    folder.write(docker, '')
    expect(await find('docker.io/library/busybox')).toEqual({ warnings: [] })
  })

  it('says which file is broken, and nothing of what is in it', async () => {
    const path = folder.write(docker, '{"auths": {"a.io": {"password": "hunter2"')
    const failure = await find('a.io/x').catch((error: unknown) => error)
    expect(failure).toMatchObject({
      code: 'client.file',
      message: `Cannot read the registry credentials in ${path}: it is not JSON`,
    })
    expect(inspect(failure)).not.toContain('hunter2')
  })

  it('warns once of a file with secrets that others may read', async () => {
    const path = folder.write(docker, { auths: { 'a.io': authEntry('me:x') } }, 0o644)
    expect((await find('a.io/x')).warnings).toEqual([
      `${path} has passwords in it and others may read it: chmod 600 it`,
    ])
    folder.write(docker, { auths: { 'a.io': {} } }, 0o644)
    expect((await find('a.io/x')).warnings).toEqual([])
  })
})

describe('findCredentials() with helpers', () => {
  const secret = '{"ServerURL":"x","Username":"me","Secret":"hunter2"}'

  it('asks the helper of the registry, by its name', async () => {
    folder.helper('one', `echo '${secret}'`)
    folder.helper('all', 'exit 1')
    folder.write(docker, {
      credHelpers: { 'ghcr.io': 'one' },
      credsStore: 'all',
      auths: { 'ghcr.io': authEntry('stale:x') },
    })
    expect((await find('ghcr.io/a/b')).credentials).toEqual({ username: 'me', password: 'hunter2' })
    expect(folder.asked).toEqual(['get ghcr.io'])
  })

  it("asks the store of all registries for Docker Hub by docker's name, then by podman's", async () => {
    folder.helper(
      'all',
      `[ "$input" = docker.io ] && echo '${secret}' || { echo credentials not found in native keychain; exit 1; }`,
    )
    folder.write(docker, { credsStore: 'all', auths: { 'https://index.docker.io/v1/': {} } })
    expect(await user('docker.io/library/busybox')).toBe('me')
    expect(folder.asked).toEqual(['get https://index.docker.io/v1/', 'get docker.io'])
  })

  it('takes the user <token> for an identity token', async () => {
    folder.helper('all', `echo '{"Username":"<token>","Secret":"tok"}'`)
    folder.write(docker, { credsStore: 'all' })
    expect((await find('a.io/x')).credentials).toEqual({ identityToken: 'tok' })
  })

  it('goes on to the next file where a helper has nothing', async () => {
    folder.helper('all', 'echo "credentials not found in native keychain"; exit 1')
    folder.write('.config/containers/auth.json', { credHelpers: { 'a.io': 'all' } })
    folder.write(docker, { auths: { 'a.io': authEntry('me:x') } })
    expect(await user('a.io/x')).toBe('me')
  })

  it('goes on without credentials, and says so, where the store of all registries is not installed', async () => {
    const path = folder.write(docker, { credsStore: 'gone' })
    expect(await find('a.io/x')).toEqual({
      warnings: [
        `docker-credential-gone is not installed, though ${path} names it: going on without credentials`,
      ],
    })
  })

  it("fails where the registry's own helper is not installed", async () => {
    folder.write(docker, { credHelpers: { 'a.io': 'gone' } })
    await expect(find('a.io/x')).rejects.toMatchObject({
      code: 'client.credentials',
      message: 'Cannot let docker-credential-gone get the credentials of a.io: it is not installed',
    })
  })
})
