// Credential helpers: programs `docker-credential-NAME` that keep secrets elsewhere. One word says what to do, the
// rest goes through stdin and stdout (docker/docker-credential-helpers, README "Development").
import { execFile } from 'node:child_process'
import type { RegistryCredentials } from '../../api/methods.ts'
import { clientError, isRecord } from '../core-error.ts'
import type { Environment } from './auth-locations.ts'

export interface HelperOptions {
  /** The user's, whole: helpers are looked up in its PATH and need what leads to keyrings. */
  readonly environment: Environment
  readonly timeoutMs?: number | undefined
  readonly signal?: AbortSignal | undefined
}

export type HelperAnswer =
  | { readonly kind: 'found'; readonly credentials: RegistryCredentials }
  | { readonly kind: 'none' }
  | { readonly kind: 'not-installed' }

/** How a helper says that what it gives is an identity token. */
const tokenUsername = '<token>'
const defaultTimeoutMs = 10_000

/** Asks a helper for the credentials of a server. Throws `client.credentials` where it fails. */
export async function getFromHelper(
  name: string,
  server: string,
  options: HelperOptions,
): Promise<HelperAnswer> {
  const outcome = await runHelper(name, 'get', server, options)
  if (outcome.kind === 'not-installed') return outcome
  if (outcome.kind === 'failed') {
    if (outcome.isNotFound) return { kind: 'none' }
    throw helperFailed(name, `get the credentials of ${server}`, outcome.reason)
  }
  let answer: unknown
  try {
    answer = JSON.parse(outcome.output)
  } catch {
    answer = undefined // Careful: the parser's message would quote the secret.
  }
  const { Username: username, Secret: secret } = isRecord(answer) ? answer : {}
  if (typeof username !== 'string' || typeof secret !== 'string')
    throw helperFailed(name, `get the credentials of ${server}`, 'its answer was not understood')
  if (secret === '') return { kind: 'none' }
  if (username === tokenUsername) return { kind: 'found', credentials: { identityToken: secret } }
  return { kind: 'found', credentials: { username, password: secret } }
}

/** Gives a helper credentials to keep. Throws `client.credentials`. */
export async function storeInHelper(
  name: string,
  server: string,
  credentials: RegistryCredentials,
  options: HelperOptions,
): Promise<void> {
  const [username, secret] =
    'identityToken' in credentials
      ? [tokenUsername, credentials.identityToken]
      : [credentials.username, credentials.password]
  const input = JSON.stringify({ ServerURL: server, Username: username, Secret: secret })
  const outcome = await runHelper(name, 'store', input, options)
  if (outcome.kind === 'done') return
  // What it says could be what it was given.
  const reason = outcome.kind === 'not-installed' ? notInstalled : withoutSecret(outcome.reason, secret)
  throw helperFailed(name, `keep the credentials of ${server}`, reason)
}

/** Makes a helper forget a server. Throws `client.credentials`. */
export async function eraseInHelper(name: string, server: string, options: HelperOptions): Promise<void> {
  const outcome = await runHelper(name, 'erase', server, options)
  if (outcome.kind === 'done') return
  const reason = outcome.kind === 'not-installed' ? notInstalled : outcome.reason
  throw helperFailed(name, `forget the credentials of ${server}`, reason)
}

/** Why nothing could be had from a helper that is not there. */
export const notInstalled = 'it is not installed'

export function helperFailed(name: string, what: string, reason: string) {
  return clientError('client.credentials', `Cannot let docker-credential-${name} ${what}: ${reason}`, {
    hint: 'It is named as "credsStore" or in "credHelpers": see "bulkhead pull --help" for the files.',
  })
}

type HelperOutcome =
  | { readonly kind: 'done'; readonly output: string }
  | { readonly kind: 'not-installed' }
  | { readonly kind: 'failed'; readonly reason: string; readonly isNotFound: boolean }

/** Runs `docker-credential-NAME VERB` with `input`, without a shell, for ten seconds at most. */
function runHelper(
  name: string,
  verb: 'get' | 'store' | 'erase',
  input: string,
  { environment, timeoutMs = defaultTimeoutMs, signal }: HelperOptions,
): Promise<HelperOutcome> {
  if (!/^[a-z0-9._-]+$/.test(name))
    throw clientError('client.credentials', `Cannot use ${JSON.stringify(name)} as a credential helper`, {
      hint: 'A name has lower-case letters, digits, ".", "_" and "-".',
    })
  const options = {
    env: { ...environment },
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    maxBuffer: 1024 * 1024,
    signal,
  } as const
  return new Promise((resolve, reject) => {
    const child = execFile(`docker-credential-${name}`, [verb], options, (error, stdout, stderr) => {
      if (error === null) resolve({ kind: 'done', output: stdout })
      else if (signal?.aborted)
        reject(clientError('client.cancelled', `docker-credential-${name} was given up`))
      else if (error.code === 'ENOENT') resolve({ kind: 'not-installed' })
      else {
        // A failure is told on stdout, by convention; some use stderr.
        const said = firstLine(stdout) || firstLine(stderr)
        const reason = error.killed
          ? `it did not answer for ${timeoutMs / 1000} s`
          : said || `it ended with ${String(error.code ?? error.signal)}`
        const isNotFound = !error.killed && /credentials not found/i.test(stdout)
        resolve({ kind: 'failed', reason, isNotFound })
      }
    })
    child.stdin?.on('error', () => {}) // One that does not read what it is told has its own reasons.
    child.stdin?.end(input)
  })
}

/** What a helper says of its failure: a line, and no answer that came in spite of it. */
function firstLine(text: string): string {
  const line = text.split('\n').find((candidate) => candidate.trim() !== '') ?? ''
  return /["{}]/.test(line) ? '' : line.trim().slice(0, 200)
}

function withoutSecret(text: string, secret: string): string {
  return secret !== '' && text.includes(secret) ? 'it failed' : text
}
