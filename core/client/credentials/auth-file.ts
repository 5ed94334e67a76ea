// One file with registry credentials, read and checked: docker/cli cli/config/configfile/file.go and
// containers-auth.json(5), which have the same shape.
import { open } from 'node:fs/promises'
import type { RegistryCredentials } from '../../api/methods.ts'
import { clientError, isRecord } from '../core-error.ts'
import type { AuthLocation } from './auth-locations.ts'
import { hostOfKey, keyOfScope, registryOfScope, scopesAround } from './registry-names.ts'

export interface AuthFile extends AuthLocation {
  /** All of its JSON. */
  readonly document: Readonly<Record<string, unknown>>
  /** It holds secrets and others than its owner may read it. */
  readonly isExposed: boolean
}

/** Reads a file; undefined where there is none. Throws `client.file`. */
export async function readAuthFile(location: AuthLocation): Promise<AuthFile | undefined> {
  const found = await readWithMode(location.path)
  if (found === undefined) return undefined
  const document = parse(found.text, location.path)
  const isExposed = (found.mode & 0o044) !== 0 && Object.values(authsOf(document)).some(hasSecret)
  return { ...location, document, isExposed }
}

/** The credentials that the file itself has for a scope: its own, else those of what is around it. */
export function credentialsIn(file: AuthFile, scope: string): RegistryCredentials | undefined {
  const auths = authsOf(file.document)
  const registry = registryOfScope(scope)
  const keys = scopesAround(scope).flatMap((around) => [around, keyOfScope(around, file.style)])
  // Older files have addresses and Docker Hub's other names for keys.
  const loose = Object.keys(auths).filter((key) => hostOfKey(key) === registry && isWholeRegistry(key))
  for (const key of [...keys, ...loose]) {
    const credentials = decode(auths[key])
    if (credentials !== undefined) return credentials
  }
  return undefined
}

export interface NamedHelper {
  readonly name: string
  /** `credHelpers` names it for this registry alone; `credsStore` for all. */
  readonly by: 'credHelpers' | 'credsStore'
}

/** The credential helper that the file names for a registry. */
export function helperFor(file: AuthFile, registry: string): NamedHelper | undefined {
  const { credHelpers, credsStore } = file.document
  const own = isRecord(credHelpers)
    ? (credHelpers[registry] ??
      Object.entries(credHelpers).find(([key]) => hostOfKey(key) === registry && isWholeRegistry(key))?.[1])
    : undefined
  if (typeof own === 'string' && own !== '') return { name: own, by: 'credHelpers' }
  if (typeof credsStore === 'string' && credsStore !== '') return { name: credsStore, by: 'credsStore' }
  return undefined
}

/** The `auths` of a file's JSON. */
export function authsOf(document: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return isRecord(document.auths) ? document.auths : {}
}

/** `registry/team` is a part of a registry; `https://registry/v1/` is all of it. */
export function isWholeRegistry(key: string): boolean {
  return /^https?:\/\//.test(key) || !key.includes('/')
}

function decode(entry: unknown): RegistryCredentials | undefined {
  if (!isRecord(entry)) return undefined
  const { auth, username, password, identitytoken } = entry
  if (typeof identitytoken === 'string' && identitytoken !== '') return { identityToken: identitytoken }
  if (typeof auth === 'string' && auth !== '') {
    const pair = Buffer.from(auth, 'base64').toString('utf8').replace(/\0+$/, '')
    const colon = pair.indexOf(':')
    if (colon > 0) return { username: pair.slice(0, colon), password: pair.slice(colon + 1) }
  }
  if (typeof username === 'string' && typeof password === 'string' && username !== '')
    return { username, password }
  return undefined
}

function hasSecret(entry: unknown): boolean {
  if (!isRecord(entry)) return false
  const { auth, password, identitytoken, registrytoken } = entry
  return [auth, password, identitytoken, registrytoken].some(
    (value) => typeof value === 'string' && value !== '',
  )
}

function parse(text: string, path: string): Readonly<Record<string, unknown>> {
  if (text.trim() === '') return {}
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch {
    // Careful: V8's message quotes the file, secrets and all; it must not travel on as the cause.
    throw badFile(path, 'it is not JSON')
  }
  if (!isRecord(document)) throw badFile(path, 'its JSON is no object')
  return document
}

function badFile(path: string, reason: string) {
  return clientError('client.file', `Cannot read the registry credentials in ${path}: ${reason}`, {
    hint: 'Correct the file, or name another with REGISTRY_AUTH_FILE or DOCKER_CONFIG.',
  })
}

async function readWithMode(path: string): Promise<{ text: string; mode: number } | undefined> {
  try {
    const file = await open(path)
    try {
      const { mode } = await file.stat()
      return { text: await file.readFile('utf8'), mode }
    } finally {
      await file.close()
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw clientError('client.file', `Cannot read the registry credentials in ${path}: ${message}`, {
      cause: error,
    })
  }
}
