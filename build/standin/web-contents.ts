// webContents: one page of Chromium as the app's main process sees it.
import { EventEmitter } from 'node:events'
import type * as Electron from 'electron'
import type { CDPSession, Page } from 'playwright-core'
import { ipcMain } from './ipc-main.ts'
import { MessagePortMain } from './message-ports.ts'
import { nativeTheme } from './native-theme.ts'
import { PageLink } from './page-link.ts'
import { servePageRequests } from './page-requests.ts'
import { isolatedWorldName, pageScripts } from './page-scripts.ts'
import { servedSchemes } from './protocol.ts'
import { enforcePermissions } from './session.ts'
import { fromChromium, toChromium } from './url-mapping.ts'

interface Frame {
  readonly url: string
  readonly origin: string
}

type WindowOpenHandler = (details: { url: string; frameName: string }) => { action: 'allow' | 'deny' }

let lastId = 0

export class WebContents
  extends EventEmitter
  implements Pick<Electron.WebContents, 'isDestroyed' | 'getURL'>
{
  static readonly all = new Set<WebContents>()
  readonly id = ++lastId
  readonly preferences: Electron.WebPreferences
  #page: Page | undefined
  #cdp: CDPSession | undefined
  #link: PageLink | undefined
  #mainFrame: Frame = { url: '', origin: 'null' }
  #programmatic: string | undefined
  #windowOpenHandler: WindowOpenHandler | undefined
  readonly #ports = new Map<number, MessagePortMain>()
  #lastPort = 0
  readonly #applyTheme = () => void this.#setTheme()

  constructor(preferences: Electron.WebPreferences = {}) {
    super()
    this.preferences = preferences
    WebContents.all.add(this)
  }

  get mainFrame(): Frame {
    return this.#mainFrame
  }

  /** Takes charge of a fresh, empty page. */
  async attach(page: Page): Promise<void> {
    this.#page = page
    const cdp = await page.context().newCDPSession(page)
    this.#cdp = cdp
    await cdp.send('Page.enable')
    this.#link = new PageLink(cdp, {
      onMessage: (message) => this.#receive(message),
      onNewPage: () => this.#closePorts(),
    })
    await this.#link.open()
    const scripts = await pageScripts(this.preferences.preload)
    // In this order: the main-world half asks the isolated half what it exposes.
    await cdp.send('Page.addScriptToEvaluateOnNewDocument', {
      source: scripts.isolated,
      worldName: isolatedWorldName,
    })
    await cdp.send('Page.addScriptToEvaluateOnNewDocument', { source: scripts.main })
    await servePageRequests(cdp, {
      mainFrameId: this.#link.mainFrameId,
      mayNavigate: (navigation) => this.#mayNavigate(navigation),
    })
    page.on('framenavigated', (frame) => {
      if (frame !== page.mainFrame()) return
      const url = fromChromium(frame.url(), servedSchemes())
      const { protocol, host } = new URL(url)
      this.#mainFrame = { url, origin: `${protocol}//${host}` }
    })
    page.on('load', () => this.emit('did-finish-load'))
    page.on('domcontentloaded', () => this.emit('dom-ready'))
    page.on('crash', () => this.emit('render-process-gone', {}, { reason: 'crashed', exitCode: 139 }))
    page.on('console', (message) => {
      if (message.type() === 'error') console.error('Page:', message.text())
    })
    page.on('pageerror', (error) => console.error('Page:', error))
    page.context().on('page', (opened) => void this.#onWindowOpened(opened))
    nativeTheme.on('updated', this.#applyTheme)
    await this.#setTheme()
  }

  async loadURL(url: string): Promise<void> {
    const page = this.#page
    if (page === undefined) throw new Error('The page is not attached yet')
    const target = toChromium(url, servedSchemes())
    if (this.#cdp !== undefined)
      await enforcePermissions(this.#cdp, this, { url, chromiumOrigin: new URL(target).origin })
    this.#programmatic = url
    await page.goto(target)
  }

  getURL(): string {
    return this.#mainFrame.url
  }

  getLastWebPreferences(): Electron.WebPreferences {
    return this.preferences
  }

  isDestroyed(): boolean {
    return !WebContents.all.has(this)
  }

  send(channel: string, ...args: unknown[]): void {
    this.#link?.send({ type: 'message', channel, args, ports: [] })
  }

  postMessage(channel: string, message: unknown, transfer: MessagePortMain[] = []): void {
    const ports = transfer.map((port) => this.#adopt(port))
    this.#link?.send({ type: 'message', channel, args: [message], ports: ports.map(([id]) => id) })
    // Only now: what waits in a port may not overtake the port.
    for (const [id, port] of ports)
      port.transferTo({
        deliver: (data) => this.#link?.send({ type: 'port', id, message: data }),
        closed: () => {
          if (this.#ports.delete(id)) this.#link?.send({ type: 'port-closed', id })
        },
      })
  }

  setWindowOpenHandler(handler: WindowOpenHandler): void {
    this.#windowOpenHandler = handler
  }

  reload(): void {
    this.#programmatic = this.#mainFrame.url
    void this.#page?.reload()
  }

  openDevTools(): void {
    // The desktop's own Chromium shows them with F12.
  }

  /** The page is gone. */
  detach(): void {
    if (!WebContents.all.delete(this)) return
    nativeTheme.off('updated', this.#applyTheme)
    this.#closePorts()
    this.#link = undefined
    this.emit('destroyed')
  }

  #adopt(port: MessagePortMain): [number, MessagePortMain] {
    if (!(port instanceof MessagePortMain)) throw new TypeError('Invalid value for transfer')
    const id = ++this.#lastPort
    this.#ports.set(id, port)
    return [id, port]
  }

  #closePorts(): void {
    for (const port of this.#ports.values()) port.close()
    this.#ports.clear()
  }

  #receive(message: Record<string, unknown>): void {
    const event = {
      sender: this,
      senderFrame: this.#mainFrame,
      frameId: 1,
      processId: this.id,
      type: 'frame',
    }
    const args = Array.isArray(message.args) ? message.args : []
    const port = this.#ports.get(Number(message.id))
    switch (message.type) {
      case 'invoke':
        void this.#invoke(Number(message.call), String(message.channel), event, args)
        break
      case 'send':
        ipcMain.emit(String(message.channel), event, ...args)
        break
      case 'port':
        port?.postFromPage(message.message)
        break
      case 'port-closed':
        this.#ports.delete(Number(message.id))
        port?.close()
        break
    }
  }

  async #invoke(call: number, channel: string, event: unknown, args: unknown[]): Promise<void> {
    try {
      const value = await ipcMain.invoke(channel, event, args)
      this.#link?.send({ type: 'reply', call, ok: true, value })
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error)
      this.#link?.send({ type: 'reply', call, ok: false, error: text })
    }
  }

  /** Electron shows the app only those navigations that the page or the person began. */
  #mayNavigate({ url, isMainFrame }: { url: string; isMainFrame: boolean }): boolean {
    if (isMainFrame && this.#programmatic === url) {
      this.#programmatic = undefined
      return true
    }
    let isPrevented = false
    const details = {
      url,
      isMainFrame,
      preventDefault: () => {
        isPrevented = true
      },
    }
    this.emit('will-frame-navigate', details)
    if (isMainFrame) this.emit('will-navigate', details, url)
    return !isPrevented
  }

  async #onWindowOpened(opened: Page): Promise<void> {
    if (opened === this.#page || (await opened.opener()) !== this.#page) return
    const url = fromChromium(opened.url(), servedSchemes())
    const answer = this.#windowOpenHandler?.({ url, frameName: '' }) ?? { action: 'allow' }
    if (answer.action === 'deny') await opened.close()
  }

  async #setTheme(): Promise<void> {
    await this.#cdp
      ?.send('Emulation.setEmulatedMedia', {
        features: [
          { name: 'prefers-color-scheme', value: nativeTheme.shouldUseDarkColors ? 'dark' : 'light' },
        ],
      })
      .catch(() => {
        // The page is gone.
      })
  }
}
