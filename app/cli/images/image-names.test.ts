import { describe, expect, it } from 'vitest'
import { familiarName, splitImageName } from './image-names.ts'

const digest = `sha256:${'a'.repeat(64)}`

describe('splitImageName()', () => {
  it.each([
    ['docker.io/library/busybox:1.36', 'busybox', '1.36'],
    ['docker.io/grafana/grafana:latest', 'grafana/grafana', 'latest'],
    ['localhost:5000/app:1', 'localhost:5000/app', '1'],
    ['localhost:5000/app', 'localhost:5000/app', '<none>'],
    [`quay.io/a/b@${digest}`, 'quay.io/a/b', '<none>'],
    [`quay.io/a/b:2@${digest}`, 'quay.io/a/b', '2'],
  ])('splits %s', (reference, repository, tag) => {
    expect(splitImageName(reference)).toEqual({ repository, tag })
  })
})

describe('familiarName()', () => {
  it.each([
    ['docker.io/library/busybox:latest', 'busybox:latest'],
    ['docker.io/a/b:latest', 'a/b:latest'],
    ['ghcr.io/library/x:1', 'ghcr.io/library/x:1'],
    [digest, digest],
  ])('makes %s short', (reference, short) => {
    expect(familiarName(reference)).toBe(short)
  })
})
