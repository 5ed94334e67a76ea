import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { CoreError } from './core-error.ts'
import { credentialsFor, readCredentials, registryOf } from './docker-credentials.ts'

const folder = mkdtempSync(join(tmpdir(), 'bulkhead-docker-'))
afterAll(() => rmSync(folder, { recursive: true }))
const auth = (text: string) => ({ auth: Buffer.from(text).toString('base64') })

describe('registryOf()', () => {
  it.each([
    ['busybox', 'docker.io'],
    ['a/b:1', 'docker.io'],
    ['docker.io/a/b', 'docker.io'],
    ['index.docker.io/a/b', 'docker.io'],
    ['localhost/a', 'localhost'],
    ['localhost:5000/a', 'localhost:5000'],
    ['ghcr.io/a/b@sha256:00', 'ghcr.io'],
  ])('of %s is %s', (reference, registry) => {
    expect(registryOf(reference)).toBe(registry)
  })
})

describe('credentialsFor()', () => {
  it.each([
    ['ghcr.io', { 'ghcr.io': auth('me:se:cret') }, { username: 'me', password: 'se:cret' }],
    ['docker.io', { 'https://index.docker.io/v1/': auth('me:x') }, { username: 'me', password: 'x' }],
    [
      'localhost:5000',
      { 'http://localhost:5000': { username: 'a', password: 'b' } },
      { username: 'a', password: 'b' },
    ],
    ['quay.io', { 'ghcr.io': auth('me:x') }, undefined],
    ['quay.io', { 'quay.io': {} }, undefined],
    ['quay.io', { 'quay.io': auth('nocolon') }, undefined],
  ])('for %s looks in %j', (registry, auths, credentials) => {
    expect(credentialsFor(registry, auths)).toEqual(credentials)
  })
})

describe('readCredentials()', () => {
  it('reads config.json where DOCKER_CONFIG or HOME says', () => {
    const text = JSON.stringify({ auths: { 'ghcr.io': auth('me:x') }, credsStore: 'desktop' })
    writeFileSync(join(folder, 'config.json'), text)
    mkdirSync(join(folder, '.docker'))
    writeFileSync(join(folder, '.docker', 'config.json'), text)
    for (const environment of [{ DOCKER_CONFIG: folder }, { HOME: folder }])
      expect(readCredentials('ghcr.io/a/b', environment)).toEqual({ username: 'me', password: 'x' })
  })

  it('has none where there is no file', () => {
    expect(readCredentials('busybox', { DOCKER_CONFIG: '/nowhere' })).toBeUndefined()
  })

  it('says which file is broken', () => {
    const broken = join(folder, 'broken')
    mkdirSync(broken)
    writeFileSync(join(broken, 'config.json'), '{')
    expect(() => readCredentials('busybox', { DOCKER_CONFIG: broken })).toThrow(CoreError)
    expect(() => readCredentials('busybox', { DOCKER_CONFIG: broken })).toThrow(
      `${broken}/config.json: it is not JSON`,
    )
  })
})
