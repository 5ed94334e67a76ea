// Finds and starts the system's Chromium: one process and one profile for each window. Chromium's sandbox stays
// on where the machine allows it; where it does not start with it (containers without user namespaces), it is
// started once more without, and says so. Only the stand-in ever does that.
import { accessSync, constants, mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BrowserContext, chromium, type Page } from 'playwright-core'
import { isControlled } from './control.ts'

const candidates = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome-stable',
  '/usr/bin/google-chrome',
]

export interface ChromiumWindow {
  readonly context: BrowserContext
  readonly page: Page
  /** Where another DevTools client can connect; only under a test's control. */
  readonly endpoint: string | undefined
}

export interface WindowSize {
  readonly width: number
  readonly height: number
}

/** Path of the system's Chromium; throws a sentence where there is none. */
export function findChromium(): string {
  const wanted = process.env.STANDIN_CHROMIUM
  for (const path of wanted === undefined ? candidates : [wanted]) {
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      // Not this one.
    }
  }
  throw new Error('Cannot show a window: Chromium is not installed (apt install chromium)')
}

export const isHeadless = process.env.STANDIN_HEADLESS === '1'

/** Starts Chromium with one empty window of `size`. */
export async function openChromium(size: WindowSize, background: string): Promise<ChromiumWindow> {
  const profile = mkdtempSync(join(process.env.STANDIN_PROFILES ?? tmpdir(), 'bulkhead-window-'))
  const start = (chromiumSandbox: boolean) =>
    chromium.launchPersistentContext(profile, {
      executablePath: findChromium(),
      headless: isHeadless,
      viewport: null,
      chromiumSandbox,
      handleSIGINT: false,
      handleSIGTERM: false,
      handleSIGHUP: false,
      // Their bar across the window says what the stand-in says already.
      ignoreDefaultArgs: ['--enable-automation'],
      args: [
        `--app=data:text/html,<title>Bulkhead</title><body bgcolor="${encodeURIComponent(background)}">`,
        `--window-size=${size.width},${size.height}`,
        '--class=bulkhead',
        '--test-type',
        '--disable-features=Translate,MediaRouter,OptimizationHints',
        // The app has no business on the network; its core client is not Chromium.
        '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE *.localhost, EXCLUDE 127.0.0.1',
        ...(isControlled ? ['--remote-debugging-port=0'] : []),
      ],
    })
  const context = await start(true).catch((error: unknown) => {
    if (!/sandbox|namespace|target closed|has been closed/i.test(String(error))) throw error
    console.error('Stand-in: Chromium does not start with its sandbox on this machine; starting it without.')
    return start(false)
  })
  const page = context.pages()[0] ?? (await context.newPage())
  return { context, page, endpoint: isControlled ? devToolsEndpoint(profile) : undefined }
}

/** Chromium writes its DevTools port and path into the profile before it opens a window. */
function devToolsEndpoint(profile: string): string {
  const [port, path] = readFileSync(join(profile, 'DevToolsActivePort'), 'utf8').split('\n')
  return `ws://127.0.0.1:${port}${path}`
}
