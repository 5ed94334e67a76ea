// BrowserWindow: one window of the system's Chromium, shown as an app (no tabs, no address bar).
import { EventEmitter } from 'node:events'
import type * as Electron from 'electron'
import { app } from './app.ts'
import { appState } from './app-state.ts'
import { type ChromiumWindow, openChromium } from './chromium.ts'
import { onControl, report } from './control.ts'
import { WebContents } from './web-contents.ts'

type Bounds = Electron.Rectangle

export class BrowserWindow
  extends EventEmitter
  implements
    Pick<
      Electron.BrowserWindow,
      | 'isVisible'
      | 'isMinimized'
      | 'isMaximized'
      | 'isDestroyed'
      | 'getNormalBounds'
      | 'show'
      | 'focus'
      | 'close'
    >
{
  static readonly #all = new Set<BrowserWindow>()
  readonly webContents: WebContents
  readonly options: Electron.BrowserWindowConstructorOptions
  readonly #opened: Promise<ChromiumWindow>
  #window: ChromiumWindow | undefined
  #bounds: Bounds
  #isVisible: boolean

  constructor(options: Electron.BrowserWindowConstructorOptions = {}) {
    super()
    if (!appState.isReady) throw new Error('Cannot create BrowserWindow before app is ready')
    this.options = options
    this.#bounds = {
      x: options.x ?? 0,
      y: options.y ?? 0,
      width: options.width ?? 800,
      height: options.height ?? 600,
    }
    this.#isVisible = options.show ?? true
    this.webContents = new WebContents(options.webPreferences)
    BrowserWindow.#all.add(this)
    this.#opened = this.#open()
    this.#opened.catch((error: unknown) => {
      console.error(error instanceof Error ? error.message : error)
      app.exit(1)
    })
    app.emit('web-contents-created', {}, this.webContents)
    app.emit('browser-window-created', {}, this)
  }

  static getAllWindows(): BrowserWindow[] {
    return [...BrowserWindow.#all]
  }

  static fromWebContents(contents: WebContents): BrowserWindow | null {
    return [...BrowserWindow.#all].find((window) => window.webContents === contents) ?? null
  }

  static getFocusedWindow(): BrowserWindow | null {
    return BrowserWindow.getAllWindows().at(-1) ?? null
  }

  async loadURL(url: string): Promise<void> {
    await this.#opened
    await this.webContents.loadURL(url)
    this.emit('ready-to-show')
  }

  show(): void {
    this.#isVisible = true
    this.emit('show')
    void this.#window?.page.bringToFront().catch(() => undefined)
  }

  focus(): void {
    this.emit('focus')
    void this.#window?.page.bringToFront().catch(() => undefined)
  }

  hide(): void {
    this.#isVisible = false
    this.emit('hide')
  }

  isVisible(): boolean {
    return this.#isVisible
  }

  isMinimized(): boolean {
    return false
  }

  isMaximized(): boolean {
    return false
  }

  isDestroyed(): boolean {
    return !BrowserWindow.#all.has(this)
  }

  restore(): void {
    this.emit('restore')
  }

  maximize(): void {
    this.emit('maximize')
  }

  getNormalBounds(): Bounds {
    return this.#bounds
  }

  /** Asks the window to close; a `close` listener may prevent it. */
  close(): void {
    if (this.isDestroyed()) return
    let isPrevented = false
    this.emit('close', {
      preventDefault: () => {
        isPrevented = true
      },
    })
    if (!isPrevented) this.destroy()
  }

  destroy(): void {
    if (!BrowserWindow.#all.delete(this)) return
    this.webContents.detach()
    void this.#window?.context.close().catch(() => undefined)
    this.emit('closed')
    if (BrowserWindow.#all.size === 0) app.allWindowsClosed()
  }

  /** The window's Chromium, for those parts of the stand-in that show something in it. */
  opened(): Promise<ChromiumWindow> {
    return this.#opened
  }

  async #open(): Promise<ChromiumWindow> {
    const opened = await openChromium(this.#bounds, this.options.backgroundColor ?? '#ffffff')
    this.#window = opened
    await this.webContents.attach(opened.page)
    opened.page.on('close', () => {
      // Closed by the person: Chromium does not ask first, so a listener's wish to keep it comes too late.
      this.emit('close', { preventDefault: () => undefined })
      this.destroy()
    })
    report('window', { endpoint: opened.endpoint })
    return opened
  }
}

onControl('windows', async () =>
  Promise.all(
    BrowserWindow.getAllWindows().map(async (window) => ({
      endpoint: (await window.opened()).endpoint,
      url: window.webContents.getURL(),
      isVisible: window.isVisible(),
      backgroundColor: window.options.backgroundColor,
      webPreferences: window.webContents.preferences,
    })),
  ),
)
onControl('windows.close', () => {
  for (const window of BrowserWindow.getAllWindows()) window.close()
})
