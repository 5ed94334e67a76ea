import { generateKeyPairSync } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { parseReference } from '../reference.ts'
import { policyFor, requireNotRejected, signaturePoliciesSchema } from './policy.ts'

const pem = (kind: 'P-256' | 'secp256k1') =>
  generateKeyPairSync('ec', { namedCurve: kind }).publicKey.export({ type: 'spki', format: 'pem' }).toString()
const key = pem('P-256')
const rule = (name: string) => ({ keys: [key], need: name })

describe('policyFor()', () => {
  const policies = signaturePoliciesSchema.parse({
    'registry.example': rule('all'),
    'registry.example/team': 'accept',
    'registry.example/team/app': rule('any'),
    'registry.example:5000/team': 'reject',
    'docker.io/library': 'reject',
  })
  const found = (name: string) => {
    const policy = policyFor(policies, parseReference(name))
    return typeof policy === 'string' ? policy : policy.need
  }

  test.each([
    ['registry.example/other/app:1', 'all'],
    ['registry.example/team/web', 'accept'],
    ['registry.example/team/app:1', 'any'],
    ['registry.example/team/app/part', 'any'],
    ['registry.example/team/application', 'accept'],
    ['registry.example/teamwork/app', 'all'],
    ['registry.example:5000/team/app', 'reject'],
    ['registry.example:5000/other/app', 'accept'],
    ['alpine', 'reject'],
    ['someone/alpine', 'accept'],
    ['quay.io/library/alpine', 'accept'],
  ])('the longest prefix of whole words decides: %s', (name, policy) => {
    expect(found(name)).toBe(policy)
  })

  test.each([
    ['REGISTRY.Example/team/app', 'any'],
    ['registry.example:443/team/app', 'any'],
    ['index.docker.io/library/alpine', 'reject'],
    ['registry-1.docker.io/library/alpine', 'reject'],
  ])('another spelling of the same place leads to the same rule: %s', (name, policy) => {
    expect(found(name)).toBe(policy)
  })

  test('"*" is for what no other rule is for', () => {
    const strict = signaturePoliciesSchema.parse({ '*': 'reject', 'docker.io': 'accept' })
    expect(policyFor(strict, parseReference('quay.io/a/b'))).toBe('reject')
    expect(policyFor(strict, parseReference('alpine'))).toBe('accept')
  })

  test('without rules everything is accepted', () => {
    expect(policyFor({}, parseReference('alpine'))).toBe('accept')
    expect(policyFor({}, parseReference('constructor.example/to/string'))).toBe('accept')
  })
})

test('requireNotRejected() stops a pull that needs no asking', () => {
  const policies = { 'quay.io': 'reject' } as const
  expect(() => requireNotRejected(policies, parseReference('quay.io/a/b:1'))).toThrow(
    expect.objectContaining({
      code: 'oci.not-allowed',
      message: 'Cannot pull quay.io/a/b:1: the settings of the host reject it',
    }),
  )
  expect(() => requireNotRejected(policies, parseReference('alpine'))).not.toThrow()
})

describe('signaturePoliciesSchema', () => {
  test('fills in what is left out', () => {
    expect(signaturePoliciesSchema.parse({ 'quay.io': { keys: [key] } })).toEqual({
      'quay.io': { keys: [key], need: 'any', identity: 'exact-repository' },
    })
  })

  test.each([
    'alpine',
    'Registry.example',
    'registry.example:443',
    'index.docker.io',
    'registry.example/',
    'registry.example/App',
    'registry.example/app:1',
    'registry.example/*',
    'https://registry.example',
    '',
  ])('refuses the scope %j, which would never fit', (scope) => {
    expect(signaturePoliciesSchema.safeParse({ [scope]: 'reject' }).success).toBe(false)
  })

  test.each([
    ['no keys', { keys: [] }, 'quay.io.keys'],
    [
      'a weak key',
      { keys: [key, pem('secp256k1')] },
      'quay.io.keys.1',
      'its curve is not P-256, P-384 or P-521',
    ],
    ['text that is no key', { keys: ['cosign.pub'] }, 'quay.io.keys.0', 'not one block of PEM'],
    ['a misspelled member', { keys: [key], identities: 'any' }, 'quay.io', 'identities'],
    ['a word that is not known', 'ignore', 'quay.io', '"accept"|"reject"'],
  ])('refuses %s, and says where', (_, policy, where, complaint = '') => {
    const [issue] = signaturePoliciesSchema.safeParse({ 'quay.io': policy }).error?.issues ?? []
    expect(issue?.path.join('.')).toBe(where)
    expect(issue?.message).toContain(complaint)
  })
})
