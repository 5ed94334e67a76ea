// A guest in the words of `bulkhead ps`.
import type { GuestSummary } from '../../../core/api/methods.ts'
import { timeSince } from './quantities.ts'

const shortIdDigits = 12
const longestCommand = 20

/** The first digits of an id or digest, as people see them. */
export function shortId(id: string): string {
  return id.replace(/^sha256:/, '').slice(0, shortIdDigits)
}

/** STATUS of `ps`, in docker's words. */
export function guestStatus(guest: GuestSummary, nowMs: number): string {
  const { state, exit, startedAt = guest.createdAt } = guest
  switch (state) {
    case 'created':
      return 'Created'
    case 'starting':
      return 'Starting'
    case 'running':
      return `Up ${timeSince(startedAt, nowMs)}`
    case 'paused':
      return `Up ${timeSince(startedAt, nowMs)} (Paused)`
    case 'stopping':
      return 'Stopping'
    case 'exited':
      if (exit === undefined) return 'Exited'
      return `Exited (${exit.code}) ${timeSince(exit.finishedAt, nowMs)} ago`
  }
}

/** COMMAND of `ps`: in quotes, cut short unless `isWhole`. */
export function guestCommand(command: readonly string[], isWhole: boolean): string {
  const text = command.join(' ')
  const characters = [...text]
  const isLong = characters.length > longestCommand && !isWhole
  return `"${isLong ? `${characters.slice(0, longestCommand - 1).join('')}…` : text}"`
}
