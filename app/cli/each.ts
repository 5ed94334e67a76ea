// Verbs that take several names: each is tried, each failure is told, and the status says whether all went well.
import type { CoreClient } from '../../core/client/core-client.ts'
import type { CliContext } from './cli-context.ts'
import { failureStatus, reportFailure } from './failure.ts'

/** Runs `act` for each name, one after the other; prints what it returns. The status is that of the last failure. */
export async function forEachName(
  context: CliContext,
  names: readonly string[],
  act: (client: CoreClient, name: string) => Promise<string>,
): Promise<number> {
  const client = await context.connect()
  let status = 0
  for (const name of names) {
    try {
      await context.print(await act(client, name))
    } catch (error) {
      await reportFailure(context, error)
      status = failureStatus(error)
    }
  }
  return status
}

/** Prints what `look` finds for each name as one JSON array; names that are not found are told on stderr. */
export async function inspectEach(
  context: CliContext,
  names: readonly string[],
  look: (client: CoreClient, name: string) => Promise<unknown>,
): Promise<number> {
  const client = await context.connect()
  const found: unknown[] = []
  let status = 0
  for (const name of names) {
    try {
      found.push(await look(client, name))
    } catch (error) {
      await reportFailure(context, error)
      status = failureStatus(error)
    }
  }
  await context.printJson(found)
  return status
}
