import { expect, test } from 'vitest'
import { findLink } from './link-header.ts'

test.each<[string[], string | undefined]>([
  [['</v2/a/tags/list?n=2&last=b>; rel="next"'], '/v2/a/tags/list?n=2&last=b'],
  [['<x>;rel=next'], 'x'],
  [['<x> ; REL = "NEXT"'], 'x'],
  [['<x>; rel="prev next"'], 'x'],
  [['<x>; rel=prev, <y,z>; title="a, <b>; rel=\\"next\\""; rel=next'], 'y,z'],
  [['<x>; rel=prev', '<y>; rel=next'], 'y'],
  [['<x>; rel=prev; rel=next'], undefined],
  [['<x>'], undefined],
  [['x; rel=next'], undefined],
  [['<x; rel=next'], undefined],
  [['<x>; rel="next'], undefined],
  [[''], undefined],
  [[], undefined],
])('findLink(%j, "next") is %s', (values, target) => {
  expect(findLink(values, 'next')).toBe(target)
})
