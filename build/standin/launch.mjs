// Starts the built app on the Electron stand-in, as a person who is not root: where this runs as root (a container,
// CI), the app gets a user without rights, a home of its own, and a socket of its own that leads to the core host.
// Needs Node 24. As a program: `node build/standin/launch.mjs`; closing the window or Ctrl+C ends it.
import { spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
} from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startCoreRelay } from './core-relay.mjs'

const root = join(import.meta.dirname, '../..')
/** `nobody` and `nogroup` (base-passwd): ids that own nothing. */
const unprivileged = { uid: 65534, gid: 65534 }

/**
 * @typedef {object} StandinOptions
 * @property {boolean} [headless] without a window on the screen; the default where there is no display
 * @property {Record<string, string>} [environment] added to this process's environment
 * @property {string[]} [args] for the app
 * @property {boolean} [isControlled] `stdio[3]` of the child is the remote control (control.ts)
 * @property {import('node:child_process').StdioOptions} [output] of stdout and stderr, `inherit` by default
 * @property {() => Promise<import('../../core/client/target.ts').CoreTarget>} [resolveTarget] the core host that
 *   an app started by root is to reach; by default what the command line would choose
 * @property {boolean} [keepRoot] for the test that the app refuses root
 * @property {string} [home] where an app that is not started by root keeps its settings; its own home by default
 */

/**
 * Starts the app; the process and a function that removes what it left behind once it has ended.
 * @param {StandinOptions} options
 */
export async function launchStandin(options = {}) {
  const isRoot = process.getuid?.() === 0 && options.keepRoot !== true
  const hasDisplay = Boolean(process.env.DISPLAY || process.env.WAYLAND_DISPLAY)
  const headless = options.headless ?? !hasDisplay
  const environment = {
    ...process.env,
    // Nobody can click a tray icon that is not there: the app then ends with its window.
    DBUS_SESSION_BUS_ADDRESS: 'disabled:',
    ...(headless ? { STANDIN_HEADLESS: '1' } : {}),
    ...(options.isControlled ? { STANDIN_CONTROL_FD: '3' } : {}),
    ...options.environment,
  }
  const place = isRoot
    ? await unprivilegedPlace(environment, options)
    : { root, node: process.execPath, undo: () => {} }
  const app = spawn(
    place.node,
    [
      '--disable-warning=ExperimentalWarning',
      '--import',
      join(place.root, 'build/standin/register.mjs'),
      join(place.root, 'out/main/index.js'),
      ...(options.args ?? []),
    ],
    {
      cwd: '/',
      env: environment,
      stdio: [
        'ignore',
        options.output ?? 'inherit',
        options.output ?? 'inherit',
        options.isControlled ? 'pipe' : 'ignore',
      ],
      ...(isRoot ? unprivileged : {}),
    },
  )
  app.once('close', () => place.undo())
  return app
}

/** A home, a socket and, where the checkout is out of reach for others, a copy of the app; changes `environment`. */
async function unprivilegedPlace(environment, options) {
  const folder = mkdtempSync(join(tmpdir(), 'bulkhead-app-'))
  chownSync(folder, unprivileged.uid, unprivileged.gid)
  chmodSync(folder, 0o700)
  const relay = await startCoreRelay(join(folder, 'core.sock'), unprivileged, options.resolveTarget)
  Object.assign(environment, {
    HOME: folder,
    TMPDIR: folder,
    XDG_CONFIG_HOME: join(folder, 'config'),
    XDG_CACHE_HOME: join(folder, 'cache'),
    XDG_RUNTIME_DIR: folder,
    BULKHEAD_HOST: `unix://${relay.path}`,
  })
  copyDisplayCookie(folder, environment)
  return {
    ...(isReachable() ? { root, node: process.execPath } : copyOfTheApp(folder)),
    undo() {
      relay.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Whether the user without rights can read the checkout and run this Node. */
function isReachable() {
  const can = (test, path) =>
    spawnSync('/usr/bin/test', [test, path], { ...unprivileged, cwd: '/' }).status === 0
  return can('-r', join(root, 'out/main/index.js')) && can('-x', process.execPath)
}

function copyOfTheApp(folder) {
  const copy = join(folder, 'app')
  for (const part of ['package.json', 'out', 'build/standin', 'node_modules/playwright-core'])
    cpSync(join(root, part), join(copy, part), { recursive: true })
  const node = join(copy, 'node')
  copyFileSync(process.execPath, node)
  chmodSync(node, 0o755)
  return { root: copy, node }
}

/** An X server lets in who knows its cookie; the person who started this does. */
function copyDisplayCookie(folder, environment) {
  const cookie = process.env.XAUTHORITY ?? join(homedir(), '.Xauthority')
  if (!process.env.DISPLAY || !existsSync(cookie)) return
  const copy = join(folder, 'Xauthority')
  mkdirSync(dirname(copy), { recursive: true })
  copyFileSync(cookie, copy)
  chownSync(copy, unprivileged.uid, unprivileged.gid)
  environment.XAUTHORITY = copy
  delete environment.WAYLAND_DISPLAY
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  console.error('Bulkhead runs on the Electron stand-in: its window is shown by the system’s Chromium.')
  const app = await launchStandin({ args: process.argv.slice(2) })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => app.kill(signal))
  app.on('close', (code) => process.exit(code ?? 1))
}
