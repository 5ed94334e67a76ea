// A user's own credentials for an image, looked up as docker, podman and skopeo do. They are read here, as the user,
// and sent with the one request that needs them; the core host keeps none and runs no helper.
import type { RegistryCredentials } from '../../api/methods.ts'
import { type AuthFile, credentialsIn, helperFor, readAuthFile } from './auth-file.ts'
import { authLocations } from './auth-locations.ts'
import { getFromHelper, type HelperOptions, helperFailed, notInstalled } from './credential-helper.ts'
import { keyOfScope, registryOfScope } from './registry-names.ts'

export interface FindOptions extends HelperOptions {
  /** The one file to look into, in place of all that the environment leads to. */
  readonly authFile?: string | undefined
}

export interface FoundCredentials {
  readonly credentials?: RegistryCredentials
  /** Which file has them, or leads to the helper that has them. */
  readonly source?: string
  /** What the user should hear, a sentence each. */
  readonly warnings: readonly string[]
}

/**
 * The credentials for a scope (`repositoryOf(reference)`, or a registry). Throws `client.file` for a file that cannot
 * be read and `client.credentials` for a helper that fails.
 */
export async function findCredentials(scope: string, options: FindOptions): Promise<FoundCredentials> {
  const warnings: string[] = []
  for (const location of authLocations(options.environment, options.authFile)) {
    const file = await readAuthFile(location)
    if (file === undefined) continue
    if (file.isExposed) warnings.push(`${file.path} has passwords in it and others may read it: chmod 600 it`)
    const credentials = await credentialsFrom(file, scope, options, warnings)
    if (credentials !== undefined) return { credentials, source: file.path, warnings }
  }
  return { warnings }
}

/**
 * A helper for this registry comes before the file's own credentials, one for all registries after them: what stands
 * in a file in spite of a `credsStore` was put there on purpose (docker's logins leave nothing there).
 */
async function credentialsFrom(
  file: AuthFile,
  scope: string,
  options: HelperOptions,
  warnings: string[],
): Promise<RegistryCredentials | undefined> {
  const registry = registryOfScope(scope)
  const helper = helperFor(file, registry)
  if (helper?.by !== 'credHelpers') {
    const own = credentialsIn(file, scope)
    if (own !== undefined) return own
  }
  if (helper === undefined) return undefined
  for (const server of serverNames(file, registry)) {
    const answer = await getFromHelper(helper.name, server, options)
    if (answer.kind === 'found') return answer.credentials
    if (answer.kind === 'none') continue
    if (helper.by === 'credHelpers')
      throw helperFailed(helper.name, `get the credentials of ${registry}`, notInstalled)
    // Left over from a docker that is gone, it must not keep anybody from public images.
    warnings.push(
      `docker-credential-${helper.name} is not installed, though ${file.path} names it: going on without credentials`,
    )
    return undefined
  }
  return undefined
}

/** What a helper may know a registry as: Docker Hub by docker's address and by podman's name. */
function serverNames({ style }: AuthFile, registry: string): readonly string[] {
  const first = keyOfScope(registry, style)
  const second = keyOfScope(registry, style === 'docker' ? 'containers' : 'docker')
  return first === second ? [first] : [first, second]
}
