import { expect, test } from 'vitest'
import { parseReference } from '../reference.ts'
import { identityFault, shownName } from './signed-identity.ts'

const fault = (signed: string | undefined, asked: string, identity: Parameters<typeof identityFault>[2]) =>
  identityFault(signed, parseReference(asked), identity)

test.each([
  ['registry.example/team/app', 'registry.example/team/app:1'],
  ['registry.example/team/app:other-tag', 'registry.example/team/app:1'],
  ['index.docker.io/library/alpine', 'alpine'],
  ['docker.io/library/alpine:3', 'alpine'],
  ['REGISTRY.example:443/team/app', 'registry.example/team/app'],
])('a signature for %s counts for %s', (signed, asked) => {
  for (const identity of ['exact-repository', 'if-named', 'any'] as const)
    expect(fault(signed, asked, identity)).toBeUndefined()
})

test.each([
  ['registry.example/team/app', 'registry.example/team/app/part'],
  ['registry.example/team/app', 'other.example/team/app'],
  ['registry.example:5000/team/app', 'registry.example/team/app'],
  ['alpine', 'quay.io/library/alpine'],
])('a signature for %s does not count for %s, unless names do not matter', (signed, asked) => {
  for (const identity of ['exact-repository', 'if-named'] as const)
    expect(fault(signed, asked, identity)).toBe(`it was made for "${signed}"`)
  expect(fault(signed, asked, 'any')).toBeUndefined()
})

test.each(['', 'not a name', 'quay.io/app\u001b[2J', 'quay.io/app\u009b2J'])(
  'what is no name is not repeated: %j',
  (signed) => {
    expect(fault(signed, 'alpine', 'if-named')).toBe('it was made for something that is no name of an image')
    expect(shownName(signed)).toBeUndefined()
  },
)

test('one without a name counts where a name is not asked for', () => {
  expect(fault(undefined, 'alpine', 'exact-repository')).toBe('it names no repository, and one is asked for')
  expect(fault(undefined, 'alpine', 'if-named')).toBeUndefined()
})
