import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { authEntry, CredentialFolder } from '../../../core/client/credentials/credential-folder.fixture.ts'
import {
  type MethodHandler,
  type ScriptedCore,
  ScriptedFailure,
  startScriptedCore,
} from '../../../core/client/scripted-core.fixture.ts'
import { runCommand, startInTerminal } from '../command-line.fixture.ts'

/** Registries that know one password, and one that wants none. */
const check: MethodHandler = ({ registry, credentials }) => {
  const { password } = credentials as { password?: string }
  if (registry === 'open.example') return { registry, login: 'not-wanted' }
  if (password === 'good') return { registry, login: 'accepted' }
  throw new ScriptedFailure({
    code: 'oci.auth-failed',
    message: `Cannot log in to ${String(registry)}: it refused the credentials`,
  })
}

let folder: CredentialFolder
let core: ScriptedCore
beforeEach(async () => {
  folder = new CredentialFolder()
  core = await startScriptedCore({ methods: { 'registries.check': check } })
})
afterEach(async () => {
  await core[Symbol.asyncDispose]()
  folder[Symbol.dispose]()
})
const docker = '.docker/config.json'
const commandLine = join(import.meta.dirname, '..', 'bulkhead.ts')

/** The process under `pid` whose command line has `word` as the program of node. */
function childOf(pid: number | undefined, word: string): number {
  const parents = new Map<number, number>()
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    try {
      const [, rest = ''] = readFileSync(`/proc/${name}/stat`, 'utf8').split(') ')
      parents.set(Number(name), Number(rest.split(' ')[1]))
    } catch {
      // It has ended meanwhile.
    }
  }
  const isUnder = (child: number): boolean => {
    const parent = parents.get(child)
    return parent === pid || (parent !== undefined && parent > 1 && isUnder(parent))
  }
  const found = [...parents.keys()].filter(isUnder).find((child) => {
    const words = readFileSync(`/proc/${child}/cmdline`, 'utf8').split('\0')
    return words[0] === process.execPath && words[1]?.endsWith(word)
  })
  if (found === undefined) throw new Error(`There is no process "${word}"`)
  return found
}
const options = (more: Record<string, string> = {}) => ({
  socketPath: core.socketPath,
  environment: { ...(folder.environment as Record<string, string>), ...more },
})
const login = (words: readonly string[], input = 'good\n', more: Record<string, string> = {}) =>
  runCommand(['login', ...words], { ...options(more), input })

describe('bulkhead login', () => {
  it('tries the credentials, keeps them, and says where', async () => {
    expect(await login(['-u', 'me', '--password-stdin', 'ghcr.io'])).toEqual({
      status: 0,
      signal: null,
      stdout: 'Login Succeeded\n',
      stderr: `WARNING! Your credentials are stored unencrypted in '${folder.path(docker)}'.
Configure a credential helper to remove this warning: its name as "credsStore" in that file.\n`,
    })
    expect(folder.json(docker)).toEqual({ auths: { 'ghcr.io': authEntry('me:good') } })
    expect(core.calls).toEqual([
      {
        method: 'registries.check',
        params: { registry: 'ghcr.io', credentials: { username: 'me', password: 'good' } },
      },
    ])
  })

  it('is to Docker Hub without a name, and takes an address for a registry', async () => {
    await login(['-u', 'me', '--password-stdin'])
    await login(['-u', 'me', '--password-stdin', 'https://localhost:5000/v2/'])
    expect(Object.keys(folder.json(docker).auths ?? {})).toEqual([
      'https://index.docker.io/v1/',
      'localhost:5000',
    ])
    expect(core.calls.map(({ params }) => params.registry)).toEqual(['docker.io', 'localhost:5000'])
  })

  it('keeps nothing that the registry refuses', async () => {
    expect(await login(['-u', 'me', '--password-stdin', 'ghcr.io'], 'bad\n')).toMatchObject({
      status: 1,
      stdout: '',
      stderr: 'bulkhead: Cannot log in to ghcr.io: it refused the credentials\n',
    })
    expect(() => folder.json(docker)).toThrow('ENOENT')
  })

  it('keeps what a registry does not ask for, and says so', async () => {
    const sentence =
      'bulkhead: open.example asks for no login: it has not checked the credentials, which are kept all the same\n'
    const { status, stdout, stderr } = await login(['-u', 'me', '--password-stdin', 'open.example'])
    expect([status, stdout]).toEqual([0, 'Login Succeeded\n'])
    expect(stderr).toContain(sentence)
    expect(folder.json(docker)).toEqual({ auths: { 'open.example': authEntry('me:good') } })
    expect((await login(['open.example'])).stderr).toContain(sentence)
  })

  it('warns of a password on the command line', async () => {
    const { status, stderr } = await login(['-u', 'me', '-p', 'good', 'ghcr.io'])
    expect([status, stderr.split('\n')[0]]).toEqual([
      0,
      'WARNING! Using --password via the CLI is insecure. Use --password-stdin.',
    ])
  })

  it('lets the helper keep them, and does not warn then', async () => {
    folder.helper('x', 'echo "credentials not found in native keychain"; [ "$1" = store ]')
    folder.write(docker, { credsStore: 'x' })
    expect(await login(['-u', 'me', '--password-stdin', 'ghcr.io'])).toMatchObject({ status: 0, stderr: '' })
    expect(folder.asked).toContain('store {"ServerURL":"ghcr.io","Username":"me","Secret":"good"}')
    expect(folder.json(docker)).toEqual({ credsStore: 'x', auths: { 'ghcr.io': {} } })
  })

  it("uses podman's file where it is named, for a part of a registry too", async () => {
    await login(['-u', 'me', '--password-stdin', '--authfile', folder.path('auth.json'), 'quay.io/team'])
    await login(['-u', 'me', '--password-stdin'], 'good', { REGISTRY_AUTH_FILE: folder.path('auth.json') })
    expect(folder.json('auth.json')).toEqual({
      auths: { 'quay.io/team': authEntry('me:good'), 'docker.io': authEntry('me:good') },
    })
    expect(core.calls.map(({ params }) => params.registry)).toEqual(['quay.io', 'docker.io'])
  })

  it('tells of a file that comes before', async () => {
    const other = folder.write('.config/containers/auth.json', { auths: { 'ghcr.io': authEntry('old:x') } })
    const { stderr } = await login(['-u', 'me', '--password-stdin', 'ghcr.io'])
    expect(stderr).toContain(`${other} has credentials for ghcr.io too, and they are used first`)
  })

  it('tries what is kept already where nothing is given', async () => {
    folder.write(docker, { auths: { 'ghcr.io': authEntry('me:good') } })
    expect(await login(['ghcr.io'])).toMatchObject({
      status: 0,
      stdout: 'Login Succeeded\n',
      stderr: expect.stringContaining('Authenticating with existing credentials... [Username: me]'),
    })
  })

  it.each([
    [['ghcr.io'], 'standard input is no terminal'],
    [['--password-stdin'], 'name the user with -u'],
    [['-u', 'me', '-p', 'x', '--password-stdin'], 'Cannot take a password twice'],
    [['-u', 'a:b', '--password-stdin'], 'a user name has no ":" in it'],
    [['-u', 'me', '--password-stdin', 'no host'], 'Cannot use "no host" as a registry'],
    [['-u', 'me', '--password-stdin', 'quay.io/team'], "a part of quay.io in docker's file"],
  ])('refuses %j in one sentence', async (words, sentence) => {
    const { status, stdout, stderr } = await login(words)
    expect([status, stdout, core.calls]).toEqual([2, '', []])
    expect(stderr).toContain(sentence)
  })

  it('asks at a terminal, and does not show the password', async () => {
    const terminal = startInTerminal(['login', 'ghcr.io'], options())
    await terminal.said('Username: ')
    terminal.type('me\r')
    await terminal.said('Password: ')
    terminal.type('bed\x7f\x7f\x7fgo')
    terminal.type('od\r')
    const { status, stdout } = await terminal.finish()
    expect([status, stdout.includes('Login Succeeded')]).toEqual([0, true])
    expect(stdout).toContain('Username: me')
    expect(stdout).not.toMatch(/Password: .*[bedgo]/)
    expect(folder.json(docker)).toEqual({ auths: { 'ghcr.io': authEntry('me:good') } })
  })

  it('asks anew where what is kept is refused, and goes at Ctrl+C', async () => {
    folder.write(docker, { auths: { 'ghcr.io': authEntry('me:old') } })
    const terminal = startInTerminal(['login', 'ghcr.io'], options())
    await terminal.said('Stored credentials invalid or expired')
    await terminal.said('Username (me): ')
    terminal.type('\r')
    await terminal.said('Password: ')
    terminal.type('go\x03')
    expect((await terminal.finish()).status).toBe(130)
    expect(folder.json(docker)).toEqual({ auths: { 'ghcr.io': authEntry('me:old') } })
  })
})

describe('the question for a password', () => {
  it('leaves the terminal as it was when it is ended by a signal', async () => {
    const command = ['sh', '-c', '"$@"; stty -a', 'sh', process.execPath, commandLine] as const
    const terminal = startInTerminal(['login', '-u', 'me', 'ghcr.io'], { ...options(), command })
    await terminal.said('Password: ')
    const asking = childOf(terminal.child.pid, 'bulkhead.ts')
    process.kill(asking, 'SIGTERM')
    const { stdout } = await terminal.finish()
    expect(stdout).toContain('bulkhead: Interrupted')
    expect(stdout).toMatch(/(^|\s)echo\s/)
    expect(stdout).toMatch(/(^|\s)icanon\s/)
  })
})

describe('bulkhead logout', () => {
  const logout = (words: readonly string[]) => runCommand(['logout', ...words], options())

  it('forgets what is kept, and what a helper keeps', async () => {
    folder.helper(
      'x',
      `[ -e "$HOME/erased" ] && { echo credentials not found; exit 1; }
       [ "$1" = erase ] && touch "$HOME/erased"; echo '{"Username":"me","Secret":"x"}'`,
    )
    folder.write(docker, {
      credHelpers: { 'ghcr.io': 'x' },
      auths: { 'https://index.docker.io/v1/': {}, 'ghcr.io': {} },
    })
    expect((await logout([])).stdout).toBe('Removing login credentials for docker.io\n')
    expect((await logout(['ghcr.io'])).stdout).toBe('Removing login credentials for ghcr.io\n')
    expect(folder.asked).toEqual(['get ghcr.io', 'erase ghcr.io', 'get ghcr.io'])
    expect(folder.json(docker)).toEqual({ credHelpers: { 'ghcr.io': 'x' }, auths: {} })
  })

  it('says where there was nothing, and what is left elsewhere', async () => {
    expect(await logout(['quay.io'])).toMatchObject({ status: 0, stdout: 'Not logged in to quay.io\n' })
    const other = folder.write('.config/containers/auth.json', { auths: { 'quay.io': authEntry('a:b') } })
    expect((await logout(['quay.io'])).stderr).toBe(`bulkhead: ${other} has credentials for quay.io still\n`)
    expect((await logout(['--authfile', other, 'quay.io'])).stdout).toBe(
      'Removing login credentials for quay.io\n',
    )
    expect(folder.json('.config/containers/auth.json')).toEqual({ auths: {} })
  })
})
