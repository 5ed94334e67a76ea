// Who may see credentials. A registry names its token server (the "realm") in an answer that anybody who can answer in
// its place may forge; sending the password wherever it points has been a hole in many clients (CVE-2020-15157,
// CVE-2026-33540). They go to the registry's own host, to hosts below it, and to the pairs known here.

import { OciError } from '../errors.ts'

/** Token servers of public registries that live on another host. */
const KNOWN_REALM_HOSTS: Readonly<Record<string, string>> = {
  'registry-1.docker.io': 'auth.docker.io',
  'registry.gitlab.com': 'gitlab.com',
}

/**
 * Checks the URL of a token server before anything is sent to it: http(s), https when the registry is, nothing but a
 * place in it. Throws `oci.registry`.
 */
export function parseRealm(text: string | undefined, registry: URL): URL {
  const realm = text === undefined ? null : URL.parse(text)
  const problem =
    realm === null
      ? 'is not a URL'
      : realm.protocol !== 'https:' && realm.protocol !== 'http:'
        ? 'is not an HTTP URL'
        : registry.protocol === 'https:' && realm.protocol !== 'https:'
          ? 'is not encrypted, though the registry is'
          : realm.username !== '' || realm.password !== ''
            ? 'contains a user name'
            : undefined
  if (realm !== null && problem === undefined) return realm
  throw new OciError(
    'oci.registry',
    `Cannot log in to ${registry.host}: its token server ${JSON.stringify(text ?? '')} ${problem}`,
  )
}

/** Whether credentials for the registry may be sent to this token server. `trustedHosts` were approved by the user. */
export function mayReceiveCredentials(realm: URL, registry: URL, trustedHosts: readonly string[]): boolean {
  if (registry.protocol === 'https:' && realm.protocol !== 'https:') return false
  const host = realm.hostname
  return (
    host === registry.hostname ||
    host.endsWith(`.${registry.hostname}`) ||
    KNOWN_REALM_HOSTS[registry.hostname] === host ||
    trustedHosts.includes(host)
  )
}
