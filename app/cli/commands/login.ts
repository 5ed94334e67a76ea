// `bulkhead login`: credentials are tried, and kept where docker keeps them.
import { text } from 'node:stream/consumers'
import type { Command } from 'commander'
import type { RegistryCredentials, ResultOf } from '../../../core/api/methods.ts'
import { CoreError } from '../../../core/client/core-error.ts'
import { findCredentials } from '../../../core/client/credentials/find-credentials.ts'
import { keepCredentials } from '../../../core/client/credentials/keep-credentials.ts'
import { registryOfScope } from '../../../core/client/credentials/registry-names.ts'
import { wayTo } from '../../../core/client/registry-access/registry-access.ts'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { UsageError } from '../failure.ts'
import { type LoginTarget, loginTarget } from '../images/login-target.ts'
import { accessOptions, type RegistryOptions, registryOptions } from '../images/registry-options.ts'
import { printable } from '../output/printable.ts'
import { ask, askSecret } from '../prompt.ts'

interface Options extends RegistryOptions {
  readonly username?: string
  readonly password?: string
  readonly passwordStdin: boolean
}

export function configure(command: Command): void {
  command
    .argument('[registry]', 'a host, with or without a port (default: docker.io)')
    .option('-u, --username <name>', 'as whom')
    .option('-p, --password <password>', 'others on this machine can see it: better is --password-stdin')
    .option('--password-stdin', 'read the password from standard input', false)
  registryOptions(command)
  describeExamples(
    command,
    [
      ['login', 'to Docker Hub; asks for name and password'],
      ['login -u me --password-stdin ghcr.io < token', 'in a script'],
      ['login --authfile auth.json quay.io/team', "for a part of a registry, in podman's file"],
    ],
    `They go into docker's config.json (~/.docker, or DOCKER_CONFIG), or to the credential helper that it names; with
--authfile or REGISTRY_AUTH_FILE into that file. docker and podman find them there too.`,
  )
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const options = command.opts<Options>()
  const target = loginTarget(context, command.args[0], options.authfile)
  const password = await givenPassword(context, options)
  if (options.username?.includes(':')) throw new UsageError('Cannot log in: a user name has no ":" in it')
  const { environment } = context
  const stored = await findCredentials(target.scope, { environment, authFile: options.authfile })
  for (const warning of stored.warnings) await context.note(`bulkhead: ${printable(warning)}`)

  const isForStored = options.username === undefined && password === undefined
  if (isForStored && stored.credentials !== undefined) {
    if (await storedAreGood(context, target, stored.credentials, options)) {
      await context.print('Login Succeeded\n')
      return 0
    }
  }
  const known =
    stored.credentials !== undefined && 'username' in stored.credentials ? stored.credentials.username : ''
  const credentials = await askForRest(context, { username: options.username, password, known })
  const { login } = await check(context, target, credentials, options)
  const { helper } = await keepCredentials(target.location, target.scope, credentials, { environment })
  if (helper === undefined) await context.note(unencrypted(target.location.path))
  if (login === 'not-wanted') await context.note(unchecked(target))
  await tellOfOther(context, target, options)
  await context.print('Login Succeeded\n')
  return 0
}

async function givenPassword(
  context: CliContext,
  { username, password, passwordStdin }: Options,
): Promise<string | undefined> {
  if (password !== undefined)
    await context.note('WARNING! Using --password via the CLI is insecure. Use --password-stdin.')
  if (!passwordStdin) return password
  if (password !== undefined)
    throw new UsageError('Cannot take a password twice: drop --password or --password-stdin')
  if (username === undefined)
    throw new UsageError('Cannot log in with --password-stdin alone: name the user with -u')
  return (await text(context.process.stdin)).replace(/\r?\n$/, '')
}

/** Tries what is kept already. False where the registry refuses it; other failures are passed on. */
async function storedAreGood(
  context: CliContext,
  target: LoginTarget,
  credentials: RegistryCredentials,
  options: Options,
): Promise<boolean> {
  const user = 'username' in credentials ? ` [Username: ${printable(credentials.username)}]` : ''
  await context.note(`Authenticating with existing credentials...${user}`)
  await context.note(
    "To log in with a different account, run 'bulkhead logout' first, or name the user with -u",
  )
  try {
    const { login } = await check(context, target, credentials, options)
    if (login === 'not-wanted') await context.note(unchecked(target))
    return true
  } catch (error) {
    const isRefused = error instanceof CoreError && error.code === 'oci.auth-failed'
    if (!isRefused || !context.process.stdin.isTTY) throw error
    await context.note('Stored credentials invalid or expired')
    return false
  }
}

async function askForRest(
  context: CliContext,
  given: { username: string | undefined; password: string | undefined; known: string },
): Promise<RegistryCredentials> {
  const isWhole = given.username !== undefined && given.password !== undefined
  if (!isWhole && !context.process.stdin.isTTY)
    throw new UsageError('Cannot ask for name and password: standard input is no terminal', {
      hint: 'Write -u USER --password-stdin and pipe the password in.',
    })
  const usual = given.known === '' ? '' : ` (${printable(given.known)})`
  const username = given.username ?? ((await ask(context, `Username${usual}: `)).trim() || given.known)
  if (username === '') throw new UsageError('Cannot log in without a user name')
  if (username.includes(':')) throw new UsageError('Cannot log in: a user name has no ":" in it')
  const password = given.password ?? (await askSecret(context, 'Password: '))
  if (password === '') throw new UsageError('Cannot log in without a password')
  return { username, password }
}

/** Asks the registry, through the core host, whether it takes them. Rejects where it does not. */
async function check(
  context: CliContext,
  { scope }: LoginTarget,
  credentials: RegistryCredentials,
  options: Options,
): Promise<ResultOf<'registries.check'>> {
  return await context.interruptible(async (signal) => {
    const client = await context.connect()
    const way = await wayTo(scope, await accessOptions(context, options))
    return await client.request(
      'registries.check',
      { registry: registryOfScope(scope), ...way, credentials },
      { signal },
    )
  })
}

/** They are kept as docker keeps them: the registry may ask another time. */
function unchecked({ scope }: LoginTarget): string {
  return `bulkhead: ${registryOfScope(scope)} asks for no login: it has not checked the credentials, which are kept all the same`
}

function unencrypted(path: string): string {
  return `WARNING! Your credentials are stored unencrypted in '${path}'.
Configure a credential helper to remove this warning: its name as "credsStore" in that file.`
}

/** Another file may come before the one that was written. */
async function tellOfOther(context: CliContext, target: LoginTarget, { authfile }: Options): Promise<void> {
  const { environment } = context
  const { source } = await findCredentials(target.scope, { environment, authFile: authfile })
  if (source === undefined || source === target.location.path) return
  await context.note(`bulkhead: ${source} has credentials for ${target.scope} too, and they are used first`)
}
