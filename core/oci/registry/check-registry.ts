// Whether a registry is there and takes the credentials (distribution-spec "Determining Support"), before they are kept.

import { OciError } from '../errors.ts'
import { parseRegistryName, registryEndpoint } from '../reference.ts'
import { DEFAULT_RETRY_POLICY, type RetryPolicy, retrying } from './backoff.ts'
import type { HttpResponse } from './http-client.ts'
import type { RegistryAccess } from './registry-access.ts'
import { RegistryConnection } from './registry-connection.ts'
import type { TimeLimits } from './time-limits.ts'

export interface CheckRegistryRequest extends RegistryAccess {
  /** As a person writes it: `docker.io`, `localhost:5000`, `https://registry.example`. */
  readonly registry: string
}

export interface CheckRegistryOptions {
  readonly retryPolicy?: RetryPolicy | undefined
  readonly timeLimits?: TimeLimits | undefined
  readonly signal?: AbortSignal | undefined
}

export interface CheckedRegistry {
  /** The registry's name as references have it. */
  readonly registry: string
  /** What it did with the credentials: took them, did not ask for any, or gave an anonymous token as none were given. */
  readonly login: 'accepted' | 'not-wanted' | 'anonymous'
}

/**
 * Asks a registry whether it is one, logging in when it wants that. Throws `oci.auth-required` without credentials,
 * `oci.auth-failed` with wrong ones, `oci.realm-not-trusted`, `oci.registry` when it is none, `oci.offline`, `oci.tls`.
 */
export async function checkRegistry(
  { registry, ...access }: CheckRegistryRequest,
  { retryPolicy: policy = DEFAULT_RETRY_POLICY, timeLimits, signal }: CheckRegistryOptions = {},
): Promise<CheckedRegistry> {
  const name = parseRegistryName(registry)
  const target = { host: registryEndpoint(name), repository: undefined }
  await using connection = await RegistryConnection.open(target, { ...access, timeLimits, signal })
  const action = `reach the registry ${name}`
  await retrying(() => ask(connection, name, signal), { policy, action, signal })
  const { login } = connection
  if (login === 'withheld') throw connection.refusal()
  return { registry: name, login: LOGINS[login] }
}

const LOGINS = { none: 'not-wanted', anonymous: 'anonymous', 'with-credentials': 'accepted' } as const

async function ask(
  connection: RegistryConnection,
  name: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const response = await connection.send({ method: 'GET', path: '', signal })
  await response.discard()
  if (response.status < 300 && looksLikeRegistry(response)) return
  const answer = response.status < 300 ? 'with a page for people' : `${response.status}`
  throw new OciError('oci.registry', `Cannot use ${name} as a registry: it answered ${answer}`, {
    hint: 'A registry answers at /v2/; there may be something else on this host and port.',
    data: { status: response.status },
  })
}

/** Registries say what they are, or give the empty object that Docker's gives; nothing else answers like that. */
function looksLikeRegistry(response: HttpResponse): boolean {
  const version = response.header('docker-distribution-api-version') ?? ''
  return version.startsWith('registry/2') || !/\bhtml\b/i.test(response.header('content-type') ?? '')
}
