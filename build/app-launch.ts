// Opening the app: in Electron where its binary is there or can be had in time, else in the stand-in over the
// system's Chromium, which says so.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, openSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'

const downloadWithinMs = 90_000

export function hasDisplay(environment: NodeJS.ProcessEnv = process.env): boolean {
  return Boolean(environment.DISPLAY || environment.WAYLAND_DISPLAY)
}

/** Starts the app on its own: it stays when this process ends. */
export async function openApp(root: string, report: (line: string) => void): Promise<void> {
  const electron = process.getuid?.() === 0 ? undefined : electronBinary(root, report)
  await mkdir(join(root, 'dist/log'), { recursive: true })
  const log = openSync(join(root, 'dist/log/app.log'), 'a')
  const [program = '', ...args] =
    electron === undefined ? [process.execPath, join(root, 'build/standin/launch.mjs')] : [electron, root]
  if (electron === undefined) report("Opening the app on the Electron stand-in, over the system's Chromium")
  else report('Opening the app')
  if (electron === undefined && !existsSync('/usr/bin/chromium')) {
    report('  It needs Chromium: apt-get install chromium, then npm start again.')
    return
  }
  const app = spawn(program, args, { cwd: root, stdio: ['ignore', log, log], detached: true })
  app.once('error', (error) => report(`  The app did not start: ${error.message}`))
  app.unref()
}

/** Electron's package fetches its binary at first use; a machine that cannot reach it must not wait for ever. */
function electronBinary(root: string, report: (line: string) => void): string | undefined {
  const binary = join(root, 'node_modules/electron/dist/electron')
  if (existsSync(binary)) return binary
  report("Fetching Electron's binary (a minute and a half at most)")
  const installer = join(root, 'node_modules/electron/install.js')
  spawnSync(process.execPath, [installer], { stdio: 'ignore', timeout: downloadWithinMs })
  if (existsSync(binary)) return binary
  report("  Electron's binary cannot be had here")
  return undefined
}
