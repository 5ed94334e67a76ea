import { expect, test } from 'vitest'
import { digestOf } from './digest.ts'
import type { Descriptor, ImageIndex, Platform } from './manifest.ts'
import { choosePlatform, formatPlatform, parsePlatform, platformFits } from './platform.ts'

const entry = (name: string, platform?: Platform): Descriptor => ({
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  digest: digestOf(Buffer.from(name)),
  size: 1,
  platform,
})
const indexOf = (...texts: string[]): ImageIndex => ({
  kind: 'index',
  mediaType: 'application/vnd.oci.image.index.v1+json',
  annotations: {},
  manifests: texts.map((text) => entry(text, parsePlatform(text))),
})
const choose = (wanted: string, ...offered: string[]) => {
  const { platform } = choosePlatform(indexOf(...offered), parsePlatform(wanted), 'web:1')
  return platform === undefined ? undefined : formatPlatform(platform)
}

test.each([
  ['linux/amd64', ['linux/arm64', 'linux/amd64', 'windows/amd64'], 'linux/amd64'],
  ['linux/amd64', ['linux/amd64/v3', 'linux/amd64/v2'], 'linux/amd64/v2'],
  ['linux/amd64', ['linux/amd64/v2', 'linux/amd64'], 'linux/amd64'],
  ['linux/amd64/v3', ['linux/amd64', 'linux/amd64/v3'], 'linux/amd64/v3'],
  ['linux/arm64', ['linux/arm/v7', 'linux/arm64/v8'], 'linux/arm64/v8'],
  ['linux/arm', ['linux/arm/v5', 'linux/arm/v7', 'linux/arm/v6'], 'linux/arm/v7'],
  ['linux/amd64', ['unknown/unknown', 'linux/amd64'], 'linux/amd64'],
  ['linux/amd64/v3', ['linux/amd64/v4', 'linux/amd64', 'linux/amd64/v2'], 'linux/amd64/v2'],
  ['linux/amd64/v1', ['linux/amd64/v2', 'linux/amd64'], 'linux/amd64'],
  ['linux/x86_64', ['linux/amd64'], 'linux/amd64'],
  ['linux/arm/7', ['linux/arm/v8', 'linux/arm/v5', 'linux/arm/v6'], 'linux/arm/v6'],
  ['linux/arm/v8', ['linux/arm/v6', 'linux/arm'], 'linux/arm'],
  ['linux/armhf', ['linux/arm/v7', 'linux/arm/v8'], 'linux/arm/v7'],
  ['linux/arm64/v8', ['linux/arm64'], 'linux/arm64'],
  ['linux/aarch64', ['linux/arm64/v9', 'linux/arm64/v8'], 'linux/arm64/v8'],
  ['linux/riscv64', ['linux/riscv64'], 'linux/riscv64'],
])('for %s of %j it takes %s', (wanted, offered, expected) => {
  expect(choose(wanted, ...offered)).toBe(expected)
})

test('the error lists what there is, without attestations', () => {
  expect(() => choose('linux/amd64', 'linux/s390x', 'unknown/unknown', 'linux/arm/v7')).toThrow(
    'Cannot use web:1 on linux/amd64: it is there for linux/arm/v7, linux/s390x',
  )
  expect(() => choose('linux/amd64', 'linux/amd64/v4')).toThrow(
    expect.objectContaining({ code: 'oci.no-platform' }),
  )
})

test('a lone entry without a platform is the image', () => {
  const only = entry('only')
  expect(choosePlatform({ ...indexOf(), manifests: [only] }, parsePlatform('linux/amd64'), 'web:1')).toBe(
    only,
  )
  expect(() =>
    choosePlatform({ ...indexOf(), manifests: [only, only] }, parsePlatform('linux/amd64'), 'web:1'),
  ).toThrow('no platform')
})

test('an entry that only tells about an image is not taken, whatever platform it names', () => {
  const attestation: Descriptor = {
    ...entry('attestation', parsePlatform('linux/amd64')),
    annotations: { 'vnd.docker.reference.type': 'attestation-manifest' },
  }
  const image = entry('image', parsePlatform('linux/amd64'))
  const index = { ...indexOf(), manifests: [attestation, image] }
  expect(choosePlatform(index, parsePlatform('linux/amd64'), 'web:1')).toBe(image)
})

test('platformFits() compares system, architecture and variant', () => {
  expect(platformFits(parsePlatform('linux/amd64'), parsePlatform('linux/amd64'))).toBe(true)
  expect(platformFits(parsePlatform('linux/amd64'), parsePlatform('linux/arm64'))).toBe(false)
  expect(platformFits(parsePlatform('linux/amd64'), parsePlatform('windows/amd64'))).toBe(false)
})
