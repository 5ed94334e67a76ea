import fc from 'fast-check'
import { expect, it } from 'vitest'
import { codec } from './node-codec.ts'

const roundTrip = (value: unknown) => codec.decode(codec.encode(value))

it('carries what the structured clone algorithm carries', () => {
  const value = {
    nothing: null,
    undefined: undefined,
    numbers: [0, -0, 1.5, Number.NaN, Number.POSITIVE_INFINITY],
    big: 2n ** 80n,
    text: 'ü\u0000"',
    bytes: new Uint8Array([0, 255, 128]),
    date: new Date(0),
    map: new Map<unknown, unknown>([['a', new Set([1])]]),
    dollar: { $: 'bytes', v: 'not bytes' },
  }
  expect(roundTrip(value)).toEqual(value)
  expect(Object.is(roundTrip(-0), -0)).toBe(true)
})

it('carries bytes of a view without what lies around them', () => {
  const view = new Uint8Array([1, 2, 3, 4]).subarray(1, 3)
  expect(roundTrip(view)).toEqual(new Uint8Array([2, 3]))
})

it('refuses what has no clone, as Electron does', () => {
  expect(() => codec.encode({ listener: () => {} })).toThrow('An object could not be cloned')
  expect(() => codec.encode(Symbol('x'))).toThrow('An object could not be cloned')
  expect(() => codec.encode(Promise.resolve())).toThrow('An object could not be cloned')
})

it('carries any JSON', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      expect(roundTrip(value)).toEqual(value)
    }),
  )
})
