import { expect, test } from 'vitest'
import { parseChallenges } from './challenge.ts'

test.each<[string, string | string[] | undefined, [string, Record<string, string>][]]>([
  ['nothing', undefined, []],
  ['basic', 'Basic realm="Registry Realm"', [['basic', { realm: 'Registry Realm' }]]],
  [
    'bearer with commas inside a scope',
    'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push"',
    [
      [
        'bearer',
        {
          realm: 'https://auth.example/token',
          service: 'registry.example',
          scope: 'repository:a/b:pull,push',
        },
      ],
    ],
  ],
  [
    'blanks, upper case and unquoted values',
    'BEARER Realm = "https://x/" , Service=reg ,\terror=invalid_token',
    [['bearer', { realm: 'https://x/', service: 'reg', error: 'invalid_token' }]],
  ],
  ['quoted pairs', 'Bearer realm="a\\"b\\\\c"', [['bearer', { realm: 'a"b\\c' }]]],
  [
    'two challenges in one header',
    'Basic realm="x", Bearer realm="https://y/",service=z',
    [
      ['basic', { realm: 'x' }],
      ['bearer', { realm: 'https://y/', service: 'z' }],
    ],
  ],
  [
    'two headers',
    ['Negotiate', 'Basic realm=x'],
    [
      ['negotiate', {}],
      ['basic', { realm: 'x' }],
    ],
  ],
  [
    'a token68 value before another challenge',
    'Negotiate YWJj==, Basic realm=x',
    [
      ['negotiate', {}],
      ['basic', { realm: 'x' }],
    ],
  ],
  ['a scheme alone', 'Bearer', [['bearer', {}]]],
  [
    'a parameter that comes twice',
    'Bearer realm="https://a/",realm="https://b/"',
    [['bearer', { realm: 'https://a/' }]],
  ],
  [
    'names of object internals',
    'Bearer __proto__="x",realm=y',
    [['bearer', { ['__proto__']: 'x', realm: 'y' }]],
  ],
  ['an open quote', 'Bearer realm="https://a/', [['bearer', {}]]],
  ['rubbish', '"";=', []],
])('reads %s', (_, header, expected) => {
  const read = parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.entries(parameters)])
  expect(read).toEqual(expected.map(([scheme, parameters]) => [scheme, Object.entries(parameters)]))
})
