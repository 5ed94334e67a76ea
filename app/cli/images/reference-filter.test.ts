import { describe, expect, it } from 'vitest'
import { referenceFilter } from './reference-filter.ts'

describe('referenceFilter()', () => {
  it.each([
    ['busybox', 'docker.io/library/busybox:1.36', true],
    ['busybox:1.*', 'docker.io/library/busybox:1.36', true],
    ['busybox:2', 'docker.io/library/busybox:1.36', false],
    ['*', 'docker.io/library/busybox:1.36', true],
    ['*', 'docker.io/a/b:1', false],
    ['*/*', 'docker.io/a/b:1', true],
    ['a/[a-c]', 'docker.io/a/b:1', true],
    ['a/[^a-c]', 'docker.io/a/b:1', false],
    ['?usybox', 'docker.io/library/busybox:1', true],
    ['localhost:5000/*:1', 'localhost:5000/app:1', true],
    ['localhost:5000/app', 'localhost:5000/app:1', true],
    ['docker.io/library/busybox:1', 'docker.io/library/busybox:1', true],
    ['a.b', 'docker.io/library/a-b:1', false],
    ['a\\*', 'docker.io/library/ab:1', false],
  ])('%s for %s: %s', (pattern, reference, isMatch) => {
    expect(referenceFilter(pattern)(reference)).toBe(isMatch)
  })

  it.each(['[a', 'a\\', '[z-a]'])('refuses %j', (pattern) => {
    expect(() => referenceFilter(pattern)).toThrow('Cannot use the pattern')
  })
})
