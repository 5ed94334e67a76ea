// Numbers for people: binary units with a thin space, times relative to now, digests and ids shortened.
import { text } from './en.ts'

const thinSpace = '\u2009'
const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const

/** `1536` is `1.5 KiB`. In a terminal, where every character is as wide, the space is a plain one. */
export function formatBytes(bytes: number, space = thinSpace): string {
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1
  return `${value.toFixed(digits)}${space}${units[unit]}`
}

export const formatMiB = (mebibytes: number): string => formatBytes(mebibytes * 1024 * 1024)

/** `2 min ago`; times in the future (clocks differ) are now. */
export function formatAgo(iso: string, nowMs: number): string {
  const seconds = Math.max(0, Math.round((nowMs - Date.parse(iso)) / 1000))
  if (seconds < 5) return text.time.justNow
  if (seconds < 60) return text.time.secondsAgo(seconds)
  if (seconds < 3600) return text.time.minutesAgo(Math.floor(seconds / 60))
  if (seconds < 86400) return text.time.hoursAgo(Math.floor(seconds / 3600))
  return text.time.daysAgo(Math.floor(seconds / 86400))
}

export const shortId = (id: string): string => id.replace(/^sha256:/, '').slice(0, 12)

/** A reference without what everybody leaves out: `docker.io/library/busybox:latest` is `busybox:latest`. */
export function shortReference(reference: string): string {
  return reference.replace(/^docker\.io\/(library\/)?/, '')
}
