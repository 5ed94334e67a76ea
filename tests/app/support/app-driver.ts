// Runs the unmodified build of the app on the stand-in and drives its window with playwright: what a person does in
// the page through the page, what the person does with the desktop (tray, menus, dialogs) through the control.
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { type Browser, chromium, type Page } from 'playwright-core'
import { launchStandin, type StandinOptions } from './standin.ts'

export interface Report {
  readonly event: string
  readonly detail: unknown
}

export class AppDriver implements AsyncDisposable {
  readonly process: ChildProcess
  readonly #control: Socket
  readonly #answers = new Map<number, PromiseWithResolvers<unknown>>()
  readonly #reports: Report[] = []
  readonly #hears = new Set<() => void>()
  readonly #browsers: Browser[] = []
  #calls = 0
  output = ''

  private constructor(process: ChildProcess) {
    this.process = process
    this.#control = process.stdio[3] as Socket
    this.#control.on('error', () => {
      // The app has ended.
    })
    process.once('close', () => {
      for (const { reject } of this.#answers.values()) reject(new Error(`The app ended: ${this.output}`))
    })
    createInterface({ input: this.#control }).on('line', (line) => this.#hear(line))
    for (const stream of [process.stdout, process.stderr])
      stream?.on('data', (chunk: Buffer) => {
        this.output += chunk.toString()
      })
  }

  static async start(options: StandinOptions): Promise<AppDriver> {
    return new AppDriver(
      await launchStandin({ headless: true, isControlled: true, output: 'pipe', ...options }),
    )
  }

  /** Calls an action of the stand-in's control. */
  control<T>(name: string, params: Record<string, unknown> = {}): Promise<T> {
    this.#calls += 1
    const answer = Promise.withResolvers<unknown>()
    this.#answers.set(this.#calls, answer)
    this.#control.write(`${JSON.stringify({ id: this.#calls, name, params })}\n`)
    return answer.promise as Promise<T>
  }

  /** The first report of that kind that was not taken yet. */
  async report(event: string): Promise<unknown> {
    for (;;) {
      const at = this.#reports.findIndex((report) => report.event === event)
      if (at !== -1) return this.#reports.splice(at, 1)[0]?.detail
      await this.#somethingHeard()
    }
  }

  /** The app's window, as playwright's page. */
  async page(size = { width: 1280, height: 800 }): Promise<Page> {
    const { endpoint } = (await this.report('window')) as { endpoint: string }
    const browser = await chromium.connectOverCDP(endpoint)
    this.#browsers.push(browser)
    const page = browser.contexts()[0]?.pages()[0]
    if (page === undefined) throw new Error('The app has no page')
    await page.setViewportSize(size)
    return page
  }

  /** How the app ended. */
  async ended(): Promise<number | null> {
    if (this.process.exitCode !== null) return this.process.exitCode
    const [code] = (await once(this.process, 'close')) as [number | null]
    return code
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const browser of this.#browsers) await browser.close().catch(() => undefined)
    if (this.process.exitCode === null && this.process.signalCode === null) {
      this.process.kill('SIGTERM')
      await once(this.process, 'close')
    }
  }

  #hear(line: string): void {
    const message = JSON.parse(line) as { id?: number; result?: unknown; error?: string } & Partial<Report>
    if (message.id === undefined) {
      this.#reports.push({ event: message.event ?? '', detail: message.detail })
    } else {
      const answer = this.#answers.get(message.id)
      this.#answers.delete(message.id)
      if (message.error === undefined) answer?.resolve(message.result)
      else answer?.reject(new Error(message.error))
    }
    for (const wake of this.#hears) wake()
    this.#hears.clear()
  }

  #somethingHeard(): Promise<void> {
    return new Promise((resolve, reject) => {
      const onEnd = () => reject(new Error(`The app ended: ${this.output}`))
      this.process.once('close', onEnd)
      this.#hears.add(() => {
        this.process.off('close', onEnd)
        resolve()
      })
    })
  }
}
