import { expect, test } from 'vitest'
import { pullScope, readOnlyScopes } from './token-scope.ts'

test('pullScope() is for reading one repository', () => {
  expect(pullScope('team/web')).toBe('repository:team/web:pull')
})

test.each<[string | undefined, string[]]>([
  ['repository:team/web:pull', ['repository:team/web:pull']],
  ['repository:team/web:pull,push,delete', ['repository:team/web:pull']],
  ['repository:team/web:*', ['repository:team/web:pull']],
  ['repository(plugin):team/web:pull', ['repository(plugin):team/web:pull']],
  ['repository:host:5000/web:pull', ['repository:host:5000/web:pull']],
  ['repository:team/web:push', []],
  ['registry:catalog:*', []],
  ['aws repository:a:pull', ['aws', 'repository:a:pull']],
  ['https://scope.example/all', []],
  ['', []],
  [undefined, []],
])('readOnlyScopes(%j) is %j', (scope, expected) => {
  expect(readOnlyScopes(scope)).toEqual(expected)
})
