// A scripted host and the app on it, both gone when it is disposed.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { AppDriver } from './app-driver.ts'
import type { ScriptedHost } from './scripted-host.ts'
import type { StandinOptions } from './standin.ts'

export interface StartedApp extends AsyncDisposable {
  readonly app: AppDriver
  readonly page: Page
}

/** Starts the app, whose core host is `host`, and waits for its page. */
export async function startApp(host: ScriptedHost, options: StandinOptions = {}): Promise<StartedApp> {
  const folder = mkdtempSync(join(tmpdir(), 'bulkhead-scripted-'))
  const socketPath = join(folder, 'core.sock')
  await host.listen(socketPath)
  const app = await AppDriver.start({
    resolveTarget: async () => ({ kind: 'socket', socketPath, label: 'the scripted host' }),
    ...options,
  })
  const page = await app.page()
  page.setDefaultTimeout(10_000)
  return {
    app,
    page,
    async [Symbol.asyncDispose]() {
      await app[Symbol.asyncDispose]()
      await host[Symbol.asyncDispose]()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Text of the terminal that is shown, as xterm drew it: rows without the spaces at their ends. */
export async function terminalText(page: Page): Promise<string> {
  const rows = await page.locator('.xterm-rows > div').allTextContents()
  return rows.map((row) => row.replaceAll('\u00a0', ' ').trimEnd()).join('\n')
}

/** Waits until the terminal that is shown says `words`. */
export async function terminalSays(page: Page, words: string): Promise<void> {
  await page.waitForFunction(
    (wanted) =>
      [...document.querySelectorAll('.xterm-rows > div')]
        .map((row) => row.textContent?.replaceAll('\u00a0', ' ').trimEnd())
        .join('\n')
        .includes(wanted),
    words,
  )
}
