import { expect, test } from 'vitest'
import { parseStrictJson } from './strict-json.ts'

const parse = (text: string) => parseStrictJson(Buffer.from(text), 'manifest of web:1')

test.each([
  '{"a":1,"b":{"a":2},"c":[{"a":1},{"a":2}]}',
  '{"a":"b","b":"a"}',
  '["a","a",{"a":"a"}]',
  '{"a:":"{","a":"}\\":"}',
  'null',
  '[]',
])('reads %s as JSON.parse does', (text) => {
  expect(parse(text)).toEqual(JSON.parse(text))
})

test.each([
  '{"a":1,"a":1}',
  '{"x":{"a":1,"b":2,"\\u0061":3}}',
  '[{"layers":[],"layers":[]}]',
  '{"a":{"b":1},"a":1}',
])('refuses the repeated key in %s', (text) => {
  expect(() => parse(text)).toThrow(
    /^Cannot read manifest of web:1: the key ".*" occurs twice in one object$/,
  )
})

test.each(['', '{', '{"a":1}x', "{'a':1}", '\ufeff\ufeff{}'])('refuses %j as no JSON', (text) => {
  expect(() => parse(text)).toThrow(expect.objectContaining({ code: 'oci.corrupt-image' }))
})

test('refuses bytes that are not UTF-8', () => {
  expect(() => parseStrictJson(Buffer.from([0x22, 0xff, 0x22]), 'x')).toThrow('not valid JSON')
})

test('refuses deep nesting', () => {
  expect(() => parse('['.repeat(65) + ']'.repeat(65))).toThrow(expect.objectContaining({ code: 'oci.limit' }))
})

test('reads a long string with many escapes', () => {
  const text = '\\"x'.repeat(1_000_000)
  expect(parse(`{"a":"${text}"}`)).toEqual({ a: '"x'.repeat(1_000_000) })
})
