import { expect, it } from 'vitest'
import { formatAgo, formatBytes, formatMiB, shortId, shortReference } from './units.ts'

it('formatBytes() counts in binary, with a thin space', () => {
  expect(formatBytes(0)).toBe('0\u2009B')
  expect(formatBytes(1023)).toBe('1023\u2009B')
  expect(formatBytes(1536)).toBe('1.5\u2009KiB')
  expect(formatMiB(512)).toBe('512\u2009MiB')
  expect(formatMiB(1536)).toBe('1.5\u2009GiB')
})

it('formatAgo() is short, and now where clocks differ', () => {
  const now = Date.parse('2026-11-24T12:00:00Z')
  const ago = (seconds: number) => formatAgo(new Date(now - seconds * 1000).toISOString(), now)
  expect([-60, 4, 30, 90, 7200, 86_400, 200_000].map(ago)).toEqual([
    'just now',
    'just now',
    '30 s ago',
    '1 min ago',
    '2 h ago',
    '1 day ago',
    '2 days ago',
  ])
})

it('shortens what nobody reads', () => {
  expect(shortId('sha256:0123456789abcdef')).toBe('0123456789ab')
  expect(shortReference('docker.io/library/busybox:latest')).toBe('busybox:latest')
  expect(shortReference('docker.io/owner/name:1')).toBe('owner/name:1')
  expect(shortReference('ghcr.io/owner/name:1')).toBe('ghcr.io/owner/name:1')
})
