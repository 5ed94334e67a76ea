// Options of the verbs that go to a registry, and with them the user's own way there.
import type { Command } from 'commander'
import type { RegistryCertificates } from '../../../core/client/registry-access/certificates.ts'
import type { AccessOptions, RegistryAccess } from '../../../core/client/registry-access/registry-access.ts'
import type { CliContext } from '../cli-context.ts'
import { UsageError } from '../failure.ts'
import { printable } from '../output/printable.ts'
import { collect } from '../verb-command.ts'

export interface RegistryOptions {
  readonly plainHttp: boolean
  readonly caFile?: string
  readonly clientCert?: string
  readonly clientKey?: string
  readonly trustRealm: readonly string[]
  readonly authfile?: string
}

export function registryOptions(command: Command): Command {
  return command
    .option('--plain-http', 'speak unencrypted HTTP with the registry', false)
    .option('--ca-file <file>', 'trust the certificate authorities in this PEM file too')
    .option('--client-cert <file>', 'show this certificate (PEM) to the registry')
    .option('--client-key <file>', 'its key')
    .option(
      '--trust-realm <host>',
      'let this host see the credentials, if the registry names it',
      collect,
      [],
    )
    .option('--authfile <file>', 'credentials from this file alone (containers-auth.json)')
}

/** Where credentials come from, for the help of verbs that use them. */
export const credentialsHelp = `Credentials are yours, looked up where podman and docker keep them: REGISTRY_AUTH_FILE, or containers/auth.json in
XDG_RUNTIME_DIR and ~/.config, then docker's config.json (~/.docker, or DOCKER_CONFIG) with its helpers.
Certificates come from certs.d in ~/.config/containers, ~/.config/docker and ~/.docker. A core host of this machine
goes through your proxies (HTTP_PROXY, HTTPS_PROXY, NO_PROXY); one elsewhere, or in a lab, has its own.`

/** What was said and what is found for the user, for `accessForImage` and `wayTo`. */
export async function accessOptions(context: CliContext, options: RegistryOptions): Promise<AccessOptions> {
  const { target } = await context.connect()
  return {
    environment: context.environment,
    target,
    authFile: options.authfile,
    certificates: await certificatesOf(options),
    plainHttp: options.plainHttp,
    trustedRealms: options.trustRealm,
  }
}

/** The way to the registry of an image; what the user should know of it is told, unless that is not wanted. */
export async function registryAccess(
  context: CliContext,
  reference: string,
  options: RegistryOptions,
  { signal, isQuiet = false }: { signal: AbortSignal; isQuiet?: boolean },
): Promise<RegistryAccess> {
  const { accessForImage } = await import('../../../core/client/registry-access/registry-access.ts')
  const found = await accessForImage(reference, { ...(await accessOptions(context, options)), signal })
  if (!isQuiet) for (const warning of found.warnings) await context.note(`bulkhead: ${printable(warning)}`)
  return found.access
}

async function certificatesOf({
  caFile,
  clientCert,
  clientKey,
}: RegistryOptions): Promise<RegistryCertificates> {
  if ((clientCert === undefined) !== (clientKey === undefined))
    throw new UsageError(
      'Cannot show a certificate to the registry: --client-cert and --client-key go together',
    )
  const { readPem } = await import('../../../core/client/registry-access/certificates.ts')
  return {
    ...(caFile === undefined ? {} : { certificateAuthority: await readPem(caFile) }),
    ...(clientCert === undefined || clientKey === undefined
      ? {}
      : { clientCertificate: { certificate: await readPem(clientCert), key: await readPem(clientKey) } }),
  }
}
