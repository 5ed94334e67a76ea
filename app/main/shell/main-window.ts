// The app's window: opened where it was, shown when it has something to show, its own colour until then.
import { join } from 'node:path'
import { app, BrowserWindow, nativeTheme, screen } from 'electron'
import type { PageEvents } from '../../preload/api.ts'
import { text } from '../../renderer/text/en.ts'
import { appOrigin } from '../navigation-rule.ts'
import { readWindowState, smallestWindow, storeWindowState } from '../window-state.ts'
import { tellPages } from './ipc.ts'

/** The pages' own background (renderer/style/tokens.css), so that nothing flashes before they are there. */
const backgrounds = { light: '#ffffff', dark: '#16191d' } as const

export class MainWindow {
  readonly #preloadPath: string
  readonly #iconPath: string
  #window: BrowserWindow | undefined

  constructor(options: { readonly preloadPath: string; readonly iconPath: string }) {
    this.#preloadPath = options.preloadPath
    this.#iconPath = options.iconPath
  }

  /** Brings the window to the front; makes it where there is none. */
  open(): void {
    const window = this.#window
    if (window === undefined) {
      this.#create()
      return
    }
    if (window.isMinimized()) window.restore()
    window.show()
    window.focus()
  }

  /** Opens the window and leads its page somewhere. */
  show(request: PageEvents['show']): void {
    const isNew = this.#window === undefined
    this.open()
    if (isNew) this.#window?.webContents.once('did-finish-load', () => tellPages('show', request))
    else tellPages('show', request)
  }

  close(): void {
    this.#window?.close()
  }

  get window(): BrowserWindow | undefined {
    return this.#window
  }

  #create(): void {
    const statePath = join(app.getPath('userData'), 'window.json')
    const screens = screen.getAllDisplays().map(({ workArea }) => workArea)
    const { bounds, isMaximized } = readWindowState(statePath, screens)
    const window = new BrowserWindow({
      ...bounds,
      minWidth: smallestWindow.width,
      minHeight: smallestWindow.height,
      show: false,
      backgroundColor: nativeTheme.shouldUseDarkColors ? backgrounds.dark : backgrounds.light,
      title: text.appName,
      icon: this.#iconPath,
      autoHideMenuBar: true,
      webPreferences: {
        preload: this.#preloadPath,
        // The defaults, said aloud: tests/app asserts them.
        sandbox: true,
        contextIsolation: true,
        nodeIntegration: false,
        webSecurity: true,
        webviewTag: false,
        spellcheck: false,
      },
    })
    this.#window = window
    if (isMaximized) window.maximize()
    window.once('ready-to-show', () => window.show())
    window.on('close', () => storeWindowState(statePath, window.getNormalBounds(), window.isMaximized()))
    window.on('closed', () => {
      this.#window = undefined
    })
    window.webContents.on('render-process-gone', (_event, { reason }) => {
      if (reason !== 'clean-exit') window.webContents.reload()
    })
    window.loadURL(`${appOrigin}/index.html`).catch((error: unknown) => {
      if (!window.isDestroyed()) console.error(error)
    })
  }
}
