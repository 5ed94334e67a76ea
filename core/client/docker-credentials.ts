// The user's credentials for a registry, from docker's config.json (`auths`; docker/cli cli/config/configfile).
// Read here, as the user, and sent with the one job that needs them.
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { RegistryCredentials } from '../api/methods.ts'
import { clientError } from './core-error.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** What docker's `auths` has for the registry of `reference`; undefined where there is nothing. */
export function readCredentials(
  reference: string,
  environment: Environment,
): RegistryCredentials | undefined {
  const path = join(
    environment.DOCKER_CONFIG || join(environment.HOME || homedir(), '.docker'),
    'config.json',
  )
  const text = readIfThere(path)
  if (text === undefined) return undefined
  return credentialsFor(registryOf(reference), parseAuths(text, path))
}

/** The registry that a reference names; `docker.io` where it names none (distribution/reference, normalize.go). */
export function registryOf(reference: string): string {
  const [first = '', ...rest] = reference.split('/')
  const isRegistry = rest.length > 0 && (/[.:]/.test(first) || first === 'localhost')
  if (!isRegistry || first === 'index.docker.io') return 'docker.io'
  return first
}

interface Auth {
  readonly auth?: unknown
  readonly username?: unknown
  readonly password?: unknown
}

/** Docker's keys come as hosts and, older, as addresses: `https://index.docker.io/v1/`. */
export function credentialsFor(
  registry: string,
  auths: Readonly<Record<string, Auth>>,
): RegistryCredentials | undefined {
  const names =
    registry === 'docker.io' ? ['docker.io', 'index.docker.io', 'registry-1.docker.io'] : [registry]
  for (const [key, auth] of Object.entries(auths)) {
    const host = key.replace(/^https?:\/\//, '').replace(/\/.*$/, '')
    if (!names.includes(host)) continue
    const credentials = decode(auth)
    if (credentials !== undefined) return credentials
  }
  return undefined
}

function decode({ auth, username, password }: Auth): RegistryCredentials | undefined {
  if (typeof auth === 'string' && auth !== '') {
    const pair = Buffer.from(auth, 'base64').toString('utf8').replace(/\0+$/, '')
    const colon = pair.indexOf(':')
    if (colon > 0) return { username: pair.slice(0, colon), password: pair.slice(colon + 1) }
  }
  if (typeof username === 'string' && typeof password === 'string' && username !== '')
    return { username, password }
  return undefined
}

function parseAuths(text: string, path: string): Readonly<Record<string, Auth>> {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch (error) {
    throw clientError('client.file', `Cannot read the registry credentials in ${path}: it is not JSON`, {
      hint: 'Correct the file, or set DOCKER_CONFIG to another folder.',
      cause: error,
    })
  }
  if (!isObject(parsed) || !isObject(parsed.auths)) return {}
  return Object.fromEntries(Object.entries(parsed.auths).filter(([, auth]) => isObject(auth))) as Record<
    string,
    Auth
  >
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw clientError('client.file', `Cannot read the registry credentials in ${path}: ${message}`, {
      cause: error,
    })
  }
}
