// How a session ended, as words for the person and a status for the shell.
import type { ExitRecord } from '../../../core/api/methods.ts'
import type { CliContext } from '../cli-context.ts'
import { CliError, ownFailure } from '../failure.ts'
import { printable } from '../output/printable.ts'
import type { SessionEnd } from './session.ts'

export interface Attached {
  readonly context: CliContext
  readonly guest: string
  readonly name: string
}

/** The status for a session's end; says on stderr what the program itself could not say. */
export async function reportOutcome(attached: Attached, end: SessionEnd): Promise<number> {
  const { context, guest, name } = attached
  switch (end.how) {
    case 'ended': {
      const client = await context.connect()
      return await reportExit(context, end.exit ?? (await client.request('guests.wait', { guest })))
    }
    case 'detached':
      await context.note(
        `\nDetached. Guest "${name}" goes on running; come back with: bulkhead attach ${name}`,
      )
      return 0
    case 'forced':
      await context.note(
        `\nbulkhead: Left after three signals: guest "${name}" goes on running\n  End it with: bulkhead kill ${name}`,
      )
      return ownFailure
    case 'output-broken':
      throw new CliError('cli.output', `Cannot write the output of guest "${name}": ${reason(end.error)}`, {
        hint: `The guest goes on running. End it with: bulkhead kill ${name}`,
        cause: end.error,
      })
  }
}

/** The program's status; what ended it is said where that was not the program itself. */
export async function reportExit(context: CliContext, exit: ExitRecord): Promise<number> {
  switch (exit.reason) {
    case 'exited':
    case 'signalled':
    case 'killed':
    case 'powered-off':
      break
    case 'exec-failed':
    case 'failed':
    case 'crashed':
    case 'lost':
      await context.note(`bulkhead: ${printable(exit.message)}`)
      break
  }
  return exit.code
}

function reason(error: Error): string {
  const { code } = error as NodeJS.ErrnoException
  if (code === 'EPIPE') return 'nobody reads it any more'
  if (code === 'ENOSPC') return 'the disk is full'
  return error.message
}
