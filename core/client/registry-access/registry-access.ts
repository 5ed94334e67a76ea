// How the user gets at a registry: credentials, certificates and proxies, gathered as the user and sent with the one
// request that needs them. What was said on the command line wins over what is found.
import type { ParamsOf } from '../../api/methods.ts'
import type { Environment } from '../credentials/auth-locations.ts'
import { findCredentials } from '../credentials/find-credentials.ts'
import { registryOf, registryOfScope, repositoryOf } from '../credentials/registry-names.ts'
import type { CoreTarget } from '../target.ts'
import { findCertificates, type RegistryCertificates } from './certificates.ts'
import { proxiesOf, sharesOurNetwork } from './proxies.ts'

/** The part of a request's parameters that is about the way to the registry. */
export type RegistryAccess = Omit<ParamsOf<'registries.check'>, 'registry'>

export interface AccessOptions {
  readonly environment: Environment
  /** The core host that will go there. */
  readonly target: CoreTarget
  /** The one file with credentials, in place of those that the environment leads to. */
  readonly authFile?: string | undefined
  /** In place of what the user's folders have. */
  readonly certificates?: RegistryCertificates | undefined
  readonly plainHttp?: boolean | undefined
  readonly trustedRealms?: readonly string[] | undefined
  readonly signal?: AbortSignal | undefined
}

export interface FoundAccess {
  readonly access: RegistryAccess
  /** What the user should hear, a sentence each. */
  readonly warnings: readonly string[]
}

/** The user's way to the registry of a reference. Throws `client.file` and `client.credentials`. */
export async function accessForImage(reference: string, options: AccessOptions): Promise<FoundAccess> {
  const { environment, authFile, signal } = options
  const found = await findCredentials(repositoryOf(reference), { environment, authFile, signal })
  const { credentials, warnings } = found
  const way = await wayTo(registryOf(reference), options)
  return { access: { ...way, ...(credentials === undefined ? {} : { credentials }) }, warnings }
}

/** The user's way to a registry, without credentials: a login brings its own. */
export async function wayTo(
  scope: string,
  { environment, target, certificates = {}, plainHttp, trustedRealms = [] }: AccessOptions,
): Promise<RegistryAccess> {
  const proxy = sharesOurNetwork(target) ? proxiesOf(environment) : undefined
  return {
    ...(await findCertificates(registryOfScope(scope), environment)),
    ...certificates,
    ...(plainHttp ? { plainHttp } : {}),
    ...(trustedRealms.length === 0 ? {} : { trustedRealms: [...trustedRealms] }),
    ...(proxy === undefined ? {} : { proxy }),
  }
}
