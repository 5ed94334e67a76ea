// The words of progress: docker's where docker has them.
import type { JobProgress } from '../../../core/api/methods.ts'
import { printable } from '../output/printable.ts'
import { byteSize, duration } from '../output/quantities.ts'

const phases: Readonly<Record<string, string>> = {
  start: 'starting',
  resolve: 'asking the registry',
  download: 'downloading',
  receive: 'receiving',
  verify: 'checking',
  unpack: 'unpacking layers',
  merge: 'merging layers',
  write: 'writing the root image',
  sync: 'waiting for the disk',
  send: 'sending',
}

/** They count no bytes: what they come with is of the phase before. */
const phasesWithoutBytes: ReadonlySet<string> = new Set(['start', 'resolve', 'merge', 'sync'])

const layerStates: Readonly<Record<string, string>> = {
  waiting: 'Waiting',
  active: 'Downloading',
  unpacking: 'Extracting',
  done: 'Pull complete',
  present: 'Already exists',
}

/** `downloading 1MB/3MB 2MB/s 1s`: the phase that a job is in, with its own bytes. */
export function phaseWords(
  { phase, bytesDone, bytesTotal }: JobProgress,
  bytesPerSecond: number | undefined,
): string {
  const name = phases[phase] ?? printable(phase)
  if (phasesWithoutBytes.has(phase)) return name
  const amount = amountWords(bytesDone, bytesTotal)
  const rate = rateWords(bytesDone, bytesTotal, bytesPerSecond)
  return [name, amount, rate].filter((words) => words !== '').join(' ')
}

export function layerWords(state: string): string {
  return layerStates[state] ?? printable(state)
}

/** `1.2MB/3.4MB`, without the second where it is not known; nothing where there is nothing. */
export function amountWords(done: number, total: number): string {
  if (total > 0) return `${byteSize(done)}/${byteSize(total)}`
  return done > 0 ? byteSize(done) : ''
}

/** `2.1MB/s 12s`: the rate, and the time left where both are known; nothing where all is there, or nothing is counted. */
export function rateWords(done: number, total: number, bytesPerSecond: number | undefined): string {
  const leftBytes = total - done
  const isAll = total > 0 ? leftBytes <= 0 : done === 0
  if (bytesPerSecond === undefined || isAll) return ''
  const rate = `${byteSize(Math.round(bytesPerSecond))}/s`
  if (leftBytes <= 0 || bytesPerSecond < 1) return rate
  return `${rate} ${shortDuration(leftBytes / bytesPerSecond)}`
}

/** `45s`, `3m20s`, `1h05m`. */
export function shortDuration(seconds: number): string {
  const whole = Math.ceil(seconds)
  const two = (value: number) => String(Math.floor(value)).padStart(2, '0')
  if (whole < 60) return `${whole}s`
  if (whole < 3600) return `${Math.floor(whole / 60)}m${two(whole % 60)}s`
  if (whole < 360_000) return `${Math.floor(whole / 3600)}h${two((whole % 3600) / 60)}m`
  return 'days'
}

/** What the registry said of its limit, as a sentence; undefined where it said nothing. */
export function rateLimitWords({ rateLimit }: Pick<JobProgress, 'rateLimit'>): string | undefined {
  if (rateLimit === undefined) return undefined
  const { limit, remaining, windowSeconds } = rateLimit
  const window = windowSeconds === undefined ? '' : ` in ${duration(windowSeconds)}`
  return `The registry allows ${limit} pulls${window}; ${remaining} are left`
}
