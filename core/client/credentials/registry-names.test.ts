import { describe, expect, it } from 'vitest'
import { hostOfKey, keyOfScope, registryOf, repositoryOf, scopeOf, scopesAround } from './registry-names.ts'

describe('registryOf() and repositoryOf()', () => {
  it.each([
    ['busybox', 'docker.io', 'docker.io/library/busybox'],
    ['busybox:1.36', 'docker.io', 'docker.io/library/busybox'],
    ['a/b:1', 'docker.io', 'docker.io/a/b'],
    ['docker.io/a/b', 'docker.io', 'docker.io/a/b'],
    ['index.docker.io/a', 'docker.io', 'docker.io/library/a'],
    ['localhost/a', 'localhost', 'localhost/a'],
    ['localhost:5000/a:2', 'localhost:5000', 'localhost:5000/a'],
    ['[::1]:5000/a:2', '[::1]:5000', '[::1]:5000/a'],
    ['Host/a', 'Host', 'Host/a'],
    ['ghcr.io/a/b/c:1@sha256:00', 'ghcr.io', 'ghcr.io/a/b/c'],
  ])('of %s are %s and %s', (reference, registry, repository) => {
    expect([registryOf(reference), repositoryOf(reference)]).toEqual([registry, repository])
  })
})

describe('scopeOf()', () => {
  it.each([
    ['docker.io', 'docker.io'],
    ['https://index.docker.io/v1/', 'docker.io'],
    ['https://ghcr.io/', 'ghcr.io'],
    ['localhost:5000', 'localhost:5000'],
    ['quay.io/team/', 'quay.io/team'],
  ])('of %s is %s', (typed, scope) => {
    expect(scopeOf(typed)).toBe(scope)
  })
})

describe('keys of auth files', () => {
  it('go from the narrowest to the registry', () => {
    expect(scopesAround('quay.io/a/b')).toEqual(['quay.io/a/b', 'quay.io/a', 'quay.io'])
  })

  it("are docker's own for Docker Hub", () => {
    expect([keyOfScope('docker.io', 'docker'), keyOfScope('docker.io', 'containers')]).toEqual([
      'https://index.docker.io/v1/',
      'docker.io',
    ])
    expect(hostOfKey('https://index.docker.io/v1/')).toBe('docker.io')
  })
})
