import { expect, test } from 'vitest'
import { mayReceiveCredentials, parseRealm } from './realm-policy.ts'

test.each([
  ['https://registry.example', 'https://registry.example/token', [], true],
  ['https://registry.example:5000', 'https://registry.example:5001/token', [], true],
  ['https://registry.example', 'https://auth.registry.example/token', [], true],
  ['https://registry-1.docker.io', 'https://auth.docker.io/token', [], true],
  ['https://registry.gitlab.com', 'https://gitlab.com/jwt/auth', [], true],
  ['https://registry.example', 'https://auth.example/token', ['auth.example'], true],
  ['https://registry.example', 'https://auth.example/token', [], false],
  ['https://registry.example', 'https://example/token', [], false],
  ['https://registry.example', 'https://evilregistry.example/token', [], false],
  ['https://registry.example', 'https://registry.example.evil/token', [], false],
  ['https://registry.example', 'https://auth.docker.io/token', [], false],
  ['https://registry.example', 'http://registry.example/token', [], false],
  ['http://localhost:5000', 'http://localhost:5001/token', [], true],
  ['http://127.0.0.1:5000', 'http://127.0.0.2:5001/token', [], false],
])('from %s credentials go to %s with %j approved: %s', (registry, realm, trusted, expected) => {
  expect(mayReceiveCredentials(new URL(realm), new URL(registry), trusted)).toBe(expected)
})

test.each([
  ['https://registry.example', undefined, 'is not a URL'],
  ['https://registry.example', '/token', 'is not a URL'],
  ['https://registry.example', 'file:///etc/passwd', 'is not an HTTP URL'],
  ['https://registry.example', 'http://registry.example/token', 'is not encrypted'],
  ['https://registry.example', 'https://user:pass@registry.example/token', 'contains a user name'],
])('parseRealm() for %s refuses %s', (registry, realm, reason) => {
  expect(() => parseRealm(realm, new URL(registry))).toThrow(reason)
})

test('parseRealm() takes http from a registry on http', () => {
  expect(parseRealm('http://localhost:5001/token', new URL('http://localhost:5000')).href).toBe(
    'http://localhost:5001/token',
  )
})
