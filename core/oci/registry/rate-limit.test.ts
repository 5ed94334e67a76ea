import { expect, test } from 'vitest'
import { parseRateLimit } from './rate-limit.ts'

const parse = (limit?: string, remaining?: string) =>
  parseRateLimit({ header: (name) => (name === 'ratelimit-limit' ? limit : remaining) })

test('parseRateLimit() reads what Docker Hub sends', () => {
  expect(parse('100;w=21600', '76;w=21600')).toEqual({ limit: 100, remaining: 76, windowSeconds: 21600 })
  expect(parse('200', '0')).toEqual({ limit: 200, remaining: 0 })
  expect(parse('10, 10;w=1, 1000;w=3600', ' 9 ')).toEqual({ limit: 10, remaining: 9 })
  expect(parse('100; comment="x"; w = 60', '9')).toEqual({ limit: 100, remaining: 9, windowSeconds: 60 })
})

test.each([
  [undefined, undefined],
  ['100', undefined],
  ['', '5'],
  ['many', '5'],
  ['-1', '5'],
  ['1e9', '5'],
  ['9'.repeat(400), '5'],
])('parseRateLimit() takes nothing from %j and %j', (limit, remaining) => {
  expect(parse(limit, remaining)).toBeUndefined()
})
