import { expect, test } from 'vitest'
import { PlacedExtents } from './placed-extents.ts'

function placed(...extents: [number, number][]): PlacedExtents {
  const result = new PlacedExtents()
  for (const [start, sizeBytes] of extents) result.add(start, sizeBytes)
  expect(result.place(1000)).toBe(1000 + extents.reduce((sum, [, sizeBytes]) => sum + sizeBytes, 0))
  return result
}

test('pieces stand in the order of the segment, without the gaps', () => {
  const extents = placed([500, 10], [100, 50], [300, 1])
  expect(extents.list()).toEqual([
    { start: 100, sizeBytes: 50 },
    { start: 300, sizeBytes: 1 },
    { start: 500, sizeBytes: 10 },
  ])
  expect([100, 149, 300, 500, 509].map((start) => extents.newPlaceOf(start))).toEqual([
    1000, 1049, 1050, 1051, 1060,
  ])
})

test('neighbours are copied as one', () => {
  const extents = placed([160, 40], [100, 60], [200, 5])
  expect(extents.list()).toEqual([{ start: 100, sizeBytes: 105 }])
  expect(extents.newPlaceOf(160)).toBe(1060)
})

test.each([99, 150, 299, 301, 5000])('byte %i does not go into the image', (start) => {
  expect(() => placed([100, 50], [300, 1]).newPlaceOf(start)).toThrow('does not go into the image')
})

test('nothing takes no room', () => {
  expect(placed().list()).toEqual([])
  expect(() => placed().newPlaceOf(0)).toThrow()
})
