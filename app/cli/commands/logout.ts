// `bulkhead logout`: what a login has kept is forgotten.
import type { Command } from 'commander'
import { findCredentials } from '../../../core/client/credentials/find-credentials.ts'
import { forgetCredentials } from '../../../core/client/credentials/keep-credentials.ts'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { loginTarget } from '../images/login-target.ts'
import { printable } from '../output/printable.ts'

export function configure(command: Command): void {
  command
    .argument('[registry]', 'a host, with or without a port (default: docker.io)')
    .option('--authfile <file>', "in this file (containers-auth.json), not in docker's")
  describeExamples(command, [
    ['logout', 'of Docker Hub'],
    ['logout ghcr.io', 'of another registry'],
  ])
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const { authfile } = command.opts<{ authfile?: string }>()
  const { environment } = context
  const { scope, location } = loginTarget(context, command.args[0], authfile)
  const wasKept = await forgetCredentials(location, scope, { environment })
  await context.print(
    wasKept
      ? `Removing login credentials for ${printable(scope)}\n`
      : `Not logged in to ${printable(scope)}\n`,
  )
  // Podman's file, or those of a part around it: whoever logs out wants to know.
  const { source } = await findCredentials(scope, { environment, authFile: authfile })
  if (source !== undefined) await context.note(`bulkhead: ${source} has credentials for ${scope} still`)
  return 0
}
