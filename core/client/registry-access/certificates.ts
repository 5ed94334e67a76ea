// The user's own certificates for a registry: `certs.d/HOST[:PORT]/` with authorities (`*.crt`) and what to show to
// the registry (`*.cert` with its `*.key`), as docker and podman have it (containers-certs.d(5)).
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { clientError } from '../core-error.ts'
import { configFolder, type Environment, homeFolder } from '../credentials/auth-locations.ts'

/** PEM text, as the control API takes it. */
export interface RegistryCertificates {
  readonly certificateAuthority?: string
  readonly clientCertificate?: { readonly certificate: string; readonly key: string }
}

/** What the first folder that the user has for the registry holds. Throws `client.file`. */
export async function findCertificates(
  registry: string,
  environment: Environment,
): Promise<RegistryCertificates> {
  // A name with a slash or of dots alone would leave the folder.
  if (!/^[\w.:[\]-]+$/.test(registry) || /^\.+$/.test(registry)) return {}
  for (const folder of certificateFolders(environment)) {
    const found = await readFolder(join(folder, registry))
    if (found !== undefined) return found
  }
  return {}
}

/** Podman's folder of the user, rootless docker's, and the one of docker's clients. */
function certificateFolders(environment: Environment): string[] {
  return [
    join(configFolder(environment), 'containers/certs.d'),
    join(configFolder(environment), 'docker/certs.d'),
    join(homeFolder(environment), '.docker/certs.d'),
  ]
}

async function readFolder(folder: string): Promise<RegistryCertificates | undefined> {
  const names = await readdir(folder).then(
    (found) => found.sort(),
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined
      throw cannotRead(folder, error.message)
    },
  )
  if (names === undefined) return undefined
  const authorities = await Promise.all(
    names.filter((name) => name.endsWith('.crt')).map((name) => readPem(join(folder, name))),
  )
  const [certificateName] = names.filter((name) => name.endsWith('.cert'))
  return {
    ...(authorities.length === 0 ? {} : { certificateAuthority: authorities.join('\n') }),
    ...(certificateName === undefined
      ? {}
      : { clientCertificate: await readPair(folder, certificateName, names) }),
  }
}

async function readPair(folder: string, certificateName: string, names: readonly string[]) {
  const keyName = certificateName.replace(/\.cert$/, '.key')
  if (!names.includes(keyName))
    throw cannotRead(
      folder,
      `${certificateName} has no ${keyName} beside it`,
      'Authorities are called *.crt.',
    )
  return {
    certificate: await readPem(join(folder, certificateName)),
    key: await readPem(join(folder, keyName)),
  }
}

/** The text of a PEM file. Throws `client.file`. */
export async function readPem(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((error: Error) => {
    throw cannotRead(path, error.message)
  })
  if (!text.includes('-----BEGIN ')) throw cannotRead(path, 'it is no PEM file')
  return text
}

function cannotRead(path: string, reason: string, hint?: string) {
  return clientError('client.file', `Cannot read the certificates in ${path}: ${reason}`, { hint })
}
