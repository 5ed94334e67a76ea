import { describe, expect, test } from 'vitest'
import { readControlPage } from './control-page.ts'

function page(change: (view: DataView) => void = () => {}): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(4096)
  const view = new DataView(bytes.buffer)
  const words = [0x31434b42, 1, 64, 16]
  words.forEach((word, index) => {
    view.setUint32(index * 4, word, true)
  })
  for (let index = 0; index < 80; index++) view.setUint32(1024 + index * 4, 1000 + index, true)
  change(view)
  return bytes
}

describe('readControlPage()', () => {
  test('takes sizes and grants from where the contract puts them', () => {
    const { toHostPages, toGuestPages, refs } = readControlPage(page())
    expect([toHostPages, toGuestPages]).toEqual([64, 16])
    expect(refs).toEqual(Array.from({ length: 80 }, (_, index) => 1000 + index))
  })

  test('accepts the largest rings', () => {
    const pages = readControlPage(
      page((view) => {
        view.setUint32(8, 256, true)
        view.setUint32(12, 256, true)
      }),
    )
    expect(pages.refs).toHaveLength(512)
  })

  test.each([
    ['another magic', 0, 0, 'begins with 0x0'],
    ['another version', 4, 2, 'speaks version 2'],
    ['no pages', 8, 0, 'a ring of 0 pages'],
    ['no power of two', 12, 3, 'a ring of 3 pages'],
    ['too many pages', 8, 512, 'a ring of 512 pages'],
    ['a size beyond all bounds', 12, 0x8000_0000, 'a ring of 2147483648 pages'],
  ])('refuses %s', (_what, offset, value, message) => {
    expect(() => readControlPage(page((view) => view.setUint32(offset, value, true)))).toThrow(message)
  })
})
