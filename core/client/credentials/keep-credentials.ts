// Login and logout on disk: credentials go where docker and podman would put them, and leave no trace when they go.
import { chown, mkdir, realpath, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { RegistryCredentials } from '../../api/methods.ts'
import { replaceFile } from '../../durable-file.ts'
import { clientError, isRecord } from '../core-error.ts'
import { type AuthFile, authsOf, helperFor, isWholeRegistry, readAuthFile } from './auth-file.ts'
import type { AuthLocation } from './auth-locations.ts'
import { eraseInHelper, getFromHelper, type HelperOptions, storeInHelper } from './credential-helper.ts'
import { hostOfKey, keyOfScope, registryOfScope } from './registry-names.ts'

export interface KeptCredentials {
  /** The helper that has them now; left out where they are in the file itself, readable to whoever reads the file. */
  readonly helper?: string
}

/** Keeps the credentials of a scope: with the helper that the file names, else in the file. */
export async function keepCredentials(
  location: AuthLocation,
  scope: string,
  credentials: RegistryCredentials,
  options: HelperOptions,
): Promise<KeptCredentials> {
  const file = await readOrNew(location)
  const key = keyOfScope(scope, location.style)
  const helper = helperFor(file, registryOfScope(scope))
  if (helper === undefined) {
    await write(file, { ...authsOf(file.document), [key]: encode(credentials) })
    return {}
  }
  await storeInHelper(helper.name, key, credentials, options)
  // What the file had before would be taken in its place; docker leaves an empty entry as a mark.
  const { [key]: before, ...others } = authsOf(file.document)
  if (location.style === 'docker') await write(file, { ...others, [key]: withoutSecrets(before) })
  else if (before !== undefined) await write(file, others)
  return { helper: helper.name }
}

/** Forgets what is kept for a scope under any of its names; false where there was nothing. */
export async function forgetCredentials(
  location: AuthLocation,
  scope: string,
  options: HelperOptions,
): Promise<boolean> {
  const file = await readAuthFile(location)
  if (file === undefined) return false
  const auths = authsOf(file.document)
  const registry = registryOfScope(scope)
  const isForScope = (key: string) =>
    key === scope || (scope === registry && hostOfKey(key) === registry && isWholeRegistry(key))
  const keys = Object.keys(auths).filter(isForScope)
  const kept = Object.fromEntries(Object.entries(auths).filter(([key]) => !keys.includes(key)))
  if (keys.length > 0) await write(file, kept)
  const helper = helperFor(file, registry)
  if (helper === undefined) return keys.length > 0
  let wasKnown = keys.length > 0
  for (const key of new Set([keyOfScope(scope, location.style), ...keys])) {
    // Some helpers fail where they are to forget what they do not know, each with words of its own.
    if ((await getFromHelper(helper.name, key, options)).kind === 'none') continue
    await eraseInHelper(helper.name, key, options)
    wasKnown = true
  }
  return wasKnown
}

function encode(credentials: RegistryCredentials): Record<string, string> {
  if ('identityToken' in credentials) return { identitytoken: credentials.identityToken }
  const { username, password } = credentials
  return { auth: Buffer.from(`${username}:${password}`).toString('base64') }
}

function withoutSecrets(entry: unknown): Record<string, unknown> {
  if (!isRecord(entry)) return {}
  const { auth, username, password, identitytoken, registrytoken, ...rest } = entry
  return rest
}

async function readOrNew(location: AuthLocation): Promise<AuthFile> {
  return (await readAuthFile(location)) ?? { ...location, document: {}, isExposed: false }
}

/** Replaces `auths` of a file and nothing else of it, in one step; only its owner may read it then. */
async function write({ path, document }: AuthFile, auths: Record<string, unknown>): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    const target = await realpath(path).catch(() => path) // A link stays one.
    const before = await stat(target).catch(() => undefined)
    await replaceFile(target, `${JSON.stringify({ ...document, auths }, null, '\t')}\n`)
    // Root who logs in for somebody shall not lock them out of their own file.
    if (before !== undefined && process.getuid?.() === 0) await chown(target, before.uid, before.gid)
  } catch (error) {
    const { message } = error as Error
    throw clientError('client.file', `Cannot write the registry credentials to ${path}: ${message}`, {
      cause: error,
    })
  }
}
