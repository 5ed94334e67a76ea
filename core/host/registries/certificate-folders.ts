// Certificates for registries in the places that docker, podman and skopeo have for them, with their rules: of the
// folders named after the host the first that exists counts; in it `*.crt` are authorities to trust, `NAME.cert` with
// `NAME.key` is what we show (docker docs "Verify repository client with certificates", containers-certs.d(5)).
import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { hasCode } from '../../oci/errors.ts'
import type { ClientCertificate } from '../../oci/registry/registry-access.ts'
import { HostError } from '../errors.ts'
import { isHostName } from './host-name.ts'

export const systemCertificateFolders: readonly string[] = [
  '/etc/bulkhead/certs.d',
  '/etc/containers/certs.d',
  '/etc/docker/certs.d',
]

export interface HostCertificates {
  /** PEM text of all authorities. */
  readonly certificateAuthority?: string
  readonly clientCertificate?: ClientCertificate
}

/** What is kept for `host` (`host[:port]`) under the `folders`. Throws `host.bad-certificates`. */
export async function readCertificates(host: string, folders: readonly string[]): Promise<HostCertificates> {
  // Careful: the name comes from a client, and becomes a part of a path.
  if (!isHostName(host)) return {}
  for (const folder of folders) {
    const own = path.join(folder, host)
    const names = await listFolder(own)
    if (names !== undefined) return await readFolder(own, names)
  }
  return {}
}

async function readFolder(folder: string, names: readonly string[]): Promise<HostCertificates> {
  const authorities: string[] = []
  for (const name of names.filter((each) => each.endsWith('.crt'))) {
    const text = await readPem(path.join(folder, name))
    if (text !== undefined) authorities.push(text)
  }
  const bases = (suffix: string) =>
    names.filter((name) => name.endsWith(suffix)).map((name) => name.slice(0, -suffix.length))
  const [certificates, keys] = [bases('.cert'), bases('.key')]
  const alone = [...certificates, ...keys].find(
    (base) => !certificates.includes(base) || !keys.includes(base),
  )
  if (alone !== undefined) {
    const [there, missing] = certificates.includes(alone) ? ['cert', 'key'] : ['key', 'cert']
    throw badCertificates(folder, `${alone}.${there} is there, and ${alone}.${missing} is not`, {
      hint: 'Certificates of authorities end in ".crt".',
    })
  }
  const [base] = certificates
  const certificate = base === undefined ? undefined : await readPem(path.join(folder, `${base}.cert`))
  const key = base === undefined ? undefined : await readPem(path.join(folder, `${base}.key`))
  return {
    ...(authorities.length === 0 ? {} : { certificateAuthority: authorities.join('\n') }),
    ...(certificate === undefined || key === undefined ? {} : { clientCertificate: { certificate, key } }),
  }
}

/** Sorted, so that of several certificates it is always the same one; undefined where there is no such folder. */
async function listFolder(folder: string): Promise<string[] | undefined> {
  try {
    return (await readdir(folder)).sort()
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return undefined
    throw badCertificates(folder, error instanceof Error ? error.message : String(error))
  }
}

/** Undefined for a link that leads nowhere, as with the others. */
async function readPem(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw badCertificates(file, error instanceof Error ? error.message : String(error))
  }
}

function badCertificates(place: string, reason: string, details: { hint?: string } = {}): HostError {
  return new HostError('host.bad-certificates', `Cannot use the certificates in ${place}: ${reason}`, details)
}
