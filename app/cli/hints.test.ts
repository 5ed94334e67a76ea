import { describe, expect, it } from 'vitest'
import { BulkheadError } from '../../core/errors.ts'
import { hintOf } from './hints.ts'

const failure = (code: string, host?: string) =>
  new BulkheadError(code, 'Cannot', { hint: 'own', data: host === undefined ? undefined : { host } })

describe('hintOf()', () => {
  it.each([
    ['oci.auth-required', 'ghcr.io', 'Log in with "bulkhead login ghcr.io", or check the name.'],
    ['oci.auth-required', 'registry-1.docker.io', 'Log in with "bulkhead login", or check the name.'],
    [
      'oci.realm-not-trusted',
      'auth.io:443',
      'They were not sent. If auth.io:443 belongs to the registry, say so with --trust-realm auth.io:443.',
    ],
    [
      'oci.tls',
      undefined,
      'own\nOptions: --plain-http, --ca-file FILE, --client-cert FILE with --client-key FILE.',
    ],
    ['oci.auth-required', '$(x)', 'own'],
    ['oci.auth-required', undefined, 'own'],
    ['oci.offline', 'ghcr.io', 'own'],
  ])('of %s at %s', (code, host, hint) => {
    expect(hintOf(failure(code, host))).toBe(hint)
  })
})
