// Which registry a login or a logout is for, and which file keeps its credentials.
import { type AuthLocation, loginLocation } from '../../../core/client/credentials/auth-locations.ts'
import { scopeOf } from '../../../core/client/credentials/registry-names.ts'
import type { CliContext } from '../cli-context.ts'
import { UsageError } from '../failure.ts'

export interface LoginTarget {
  /** `docker.io`, `localhost:5000`, `quay.io/team`. */
  readonly scope: string
  readonly location: AuthLocation
}

/** Reads what was typed; Docker Hub without it. Throws a UsageError for what is no registry. */
export function loginTarget(context: CliContext, typed: string | undefined, authfile?: string): LoginTarget {
  const scope = scopeOf(typed ?? 'docker.io')
  const location = loginLocation(context.environment, authfile)
  const [registry = '', ...path] = scope.split('/')
  if (!/^(?:[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:]+\])(?::\d{1,5})?$/.test(registry))
    throw new UsageError(`Cannot use ${JSON.stringify(typed ?? '')} as a registry`, {
      hint: 'A registry is a host with or without a port: ghcr.io, localhost:5000.',
    })
  if (path.length > 0 && location.style === 'docker')
    throw new UsageError(`Cannot keep credentials for a part of ${registry} in docker's file`, {
      hint: `Name the registry alone, or keep them in podman's file with --authfile.`,
    })
  return { scope, location }
}
