// Failures of the command line: their words on stderr and their exit statuses.
import { constants } from 'node:os'
import type { CommanderError } from 'commander'
import { BulkheadError, type ErrorDetails } from '../../core/errors.ts'
import type { CliContext } from './cli-context.ts'
import { hintOf } from './hints.ts'
import { printable } from './output/printable.ts'
import type { Verb } from './verbs.ts'

export type CliErrorCode =
  | 'cli.usage' // the words make no sense
  | 'cli.file' // a file of the user's cannot be read
  | 'cli.interrupted' // a signal ended it (data: signal)
  | 'cli.guest-not-running' // nothing to attach to
  | 'cli.output' // what came cannot be written
  | 'cli.not-published' // no port of the host leads there

/** A failure on this side of the connection. */
export class CliError extends BulkheadError {
  declare readonly code: CliErrorCode

  constructor(code: CliErrorCode, message: string, details: ErrorDetails = {}) {
    super(code, message, details)
  }
}

/** The command line itself is wrong. */
export class UsageError extends CliError {
  constructor(message: string, details: ErrorDetails = {}) {
    super('cli.usage', message, details)
  }
}

/** Our failures where a program's own status is passed on too (docker's numbers). */
export const ownFailure = 125

/** The exit status for a failure: `run` says 125 for all of ours; elsewhere 2 for wrong usage, else 1. */
export function failureStatus(error: unknown, verb?: Verb): number {
  if (isBrokenPipe(error)) return signalStatus('SIGPIPE')
  if (error instanceof CliError && error.code === 'cli.interrupted') {
    const { signal } = error.data ?? {}
    return signalStatus(signal === 'SIGTERM' || signal === 'SIGHUP' ? signal : 'SIGINT')
  }
  if (verb?.name === 'run') return startedStatus(error) ?? ownFailure
  return error instanceof UsageError ? 2 : 1
}

/** The status of a program that never ran, where the core host says so (docs/contracts/control.md): 126, 127. */
function startedStatus(error: unknown): number | undefined {
  const exitCode = error instanceof BulkheadError ? error.data?.exitCode : undefined
  return typeof exitCode === 'number' ? exitCode : undefined
}

/** 128 + n, as a shell counts a program that a signal ended. */
export function signalStatus(signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal]
}

/** Prints a failure: one sentence, and the hint under it. */
export async function reportFailure(context: CliContext, error: unknown): Promise<void> {
  if (isBrokenPipe(error)) return // Whoever read our output has seen enough.
  if (!(error instanceof BulkheadError)) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    await context.note(`bulkhead: this is a defect, please report it: ${text}`)
    return
  }
  await context.note(`bulkhead: ${printable(error.message)}`)
  const hint = hintOf(error)
  if (hint !== undefined) for (const line of hint.split('\n')) await context.note(`  ${printable(line)}`)
}

/** What commander found wrong, in our words. */
export function usageErrorFrom(error: CommanderError, helpLine: string): UsageError {
  const [said = ''] = error.message.replace(/^error: /, '').split('\n')
  const suggestion = /\(Did you mean (.+)\?\)/.exec(error.message)?.[1]
  const sentence = `${said.charAt(0).toUpperCase()}${said.slice(1)}`
  const hint = suggestion === undefined ? '' : `Did you mean ${suggestion}? `
  return new UsageError(sentence, { hint: `${hint}See "${helpLine}".`, cause: error })
}

function isBrokenPipe(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EPIPE'
}
