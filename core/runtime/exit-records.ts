// Why a guest ended, in a sentence and in the status that a command line passes on. docs/contracts/state.md.
import type { ExitRecord } from '../api/methods.ts'
import { signalName } from './signals.ts'

/** What is known of the end: the program's claim over the channel, or what the hypervisor saw. */
export type GuestEnd =
  | { readonly reason: 'exited'; readonly status: number }
  | { readonly reason: 'signalled'; readonly signal: number }
  | { readonly reason: 'exec-failed'; readonly errno: number; readonly text: string }
  | { readonly reason: 'failed'; readonly step: string; readonly text: string }
  | { readonly reason: 'killed' }
  | { readonly reason: 'powered-off' }
  | { readonly reason: 'crashed'; readonly detail: string }
  | { readonly reason: 'lost' }

const enoent = 2
const exec: Readonly<Record<number, string>> = {
  2: 'no such file or directory, or not in PATH',
  8: 'it is not a program for this machine',
  13: 'permission denied',
  20: 'a part of its path is not a folder',
  21: 'it is a folder',
}

export function exitRecord(end: GuestEnd, finishedAt: Date): ExitRecord {
  const at = { finishedAt: finishedAt.toISOString() }
  switch (end.reason) {
    case 'exited':
      return {
        ...at,
        reason: 'exited',
        code: end.status & 0xff,
        message: `The program ended with status ${end.status & 0xff}`,
      }
    case 'signalled':
      return {
        ...at,
        reason: 'signalled',
        code: (128 + end.signal) & 0xff,
        signal: end.signal,
        message: `The program was ended by ${signalName(end.signal)}`,
      }
    case 'exec-failed':
      return {
        ...at,
        reason: 'exec-failed',
        code: end.errno === enoent ? 127 : 126,
        message: `Cannot run "${end.text}": ${exec[end.errno] ?? `error ${end.errno}`}`,
      }
    case 'failed':
      return {
        ...at,
        reason: 'failed',
        code: 125,
        message: `Cannot set the guest up, step "${end.step}": ${end.text}`,
      }
    case 'killed':
      return { ...at, reason: 'killed', code: 137, signal: 9, message: 'The guest was ended by force' }
    case 'powered-off':
      return { ...at, reason: 'powered-off', code: 0, message: 'The guest powered itself off' }
    case 'crashed':
      return { ...at, reason: 'crashed', code: 125, message: `The guest crashed: ${end.detail}` }
    case 'lost':
      return { ...at, reason: 'lost', code: 125, message: 'The guest was gone when the core host came back' }
  }
}
