// The app's main process: refuses root, takes the instance lock, confines its pages, and wires the connection to
// the core host, the window, the tray and the menus together.
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { app, dialog, Menu, nativeTheme, shell } from 'electron'
import { connectCore } from '../../core/client/core-client.ts'
import { accessForImage } from '../../core/client/registry-access/registry-access.ts'
import { resolveTarget } from '../../core/client/target.ts'
import { findLab } from '../../lab/find-lab.ts'
import type { Settings } from '../preload/settings.ts'
import { text } from '../renderer/text/en.ts'
import { type AppMenuAction, appMenu } from './app-menu.ts'
import { CoreConnection } from './connection.ts'
import { GuestBoard } from './guest-board.ts'
import { createHandlers } from './handlers.ts'
import { startHost } from './hosts.ts'
import appIcon from './icons/icon.png?asset'
import trayIconImage from './icons/tray.png?asset'
import { closingLastWindowQuits } from './quit-rule.ts'
import { Quitting } from './quitting.ts'
import { SettingsStore } from './settings-store.ts'
import { confinePages } from './shell/confinement.ts'
import { askAboutGuests, chooseArchive } from './shell/dialogs.ts'
import { serveApi, tellPages } from './shell/ipc.ts'
import { MainWindow } from './shell/main-window.ts'
import { buildMenu } from './shell/menus.ts'
import { registerPageScheme, servePages } from './shell/pages.ts'
import { TrayIcon } from './shell/tray-icon.ts'
import { hasTrayHost } from './tray-host.ts'
import type { TrayAction } from './tray-menu.ts'

const out = join(import.meta.dirname, '..')

app.setName(text.appName)
if (process.getuid?.() === 0) {
  // Chromium must not be root; the core host is a process of its own (docs/decisions).
  dialog.showErrorBox(text.root.title, text.root.content)
  app.exit(1)
} else if (!app.requestSingleInstanceLock()) {
  // The other instance shows its window.
  app.exit(0)
} else {
  registerPageScheme()
  app.enableSandbox()
  await app.whenReady()
  await startApp()
}

async function startApp(): Promise<void> {
  confinePages()
  servePages(join(out, 'renderer'))
  const settings = new SettingsStore(join(app.getPath('userData'), 'settings.json'))
  nativeTheme.themeSource = settings.current.theme
  const window = new MainWindow({ preloadPath: join(out, 'preload/index.cjs'), iconPath: appIcon })
  const board = new GuestBoard()

  const connection: CoreConnection = new CoreConnection({
    resolveTarget: () => resolveTarget({ findLab }),
    connect: (target, signal) => connectCore(target, { signal }),
    start: startHost,
    onStatus: (status) => {
      tellPages('status', status)
      updateMenus()
      if (status.state === 'ready') void countGuests()
    },
    onEvent: (notification) => {
      tellPages('core', notification)
      if (board.apply(notification.event)) updateMenus()
    },
    pause: (ms, signal) => delay(ms, undefined, { signal }).catch(() => undefined),
    now: Date.now,
  })

  async function countGuests(): Promise<void> {
    try {
      board.reset(await connection.client.request('guests.list', { all: false }))
      updateMenus()
    } catch (error) {
      console.error(error)
    }
  }

  const quitting = new Quitting({
    onQuit: () => settings.current.onQuit,
    runningGuests: () => board.running.map(({ id }) => id),
    ask: (count) => askAboutGuests(window.window, count),
    remember: (onQuit) => changeSettings(settings.change({ onQuit })),
    stopGuest,
    end: () => app.quit(),
  })

  async function stopGuest(guest: string): Promise<void> {
    await connection.client.request('guests.stop', { guest })
  }

  function changeSettings(changed: Settings): void {
    nativeTheme.themeSource = changed.theme
    tellPages('settings', changed)
  }

  const tray = new TrayIcon(trayIconImage, (action: TrayAction) => {
    switch (action.do) {
      case 'open':
        window.open()
        break
      case 'show-guest':
        window.show({ page: 'guest', guest: action.guest })
        break
      case 'stop-guest':
        stopGuest(action.guest).catch((error: unknown) => console.error(error))
        break
      case 'quit':
        app.quit()
        break
    }
  })

  function updateMenus(): void {
    const isConnected = connection.status.state === 'ready'
    tray.update({ guests: isConnected ? board.running : undefined })
    Menu.setApplicationMenu(buildMenu(appMenu({ isConnected }), onMenu))
  }

  function onMenu(action: AppMenuAction): void {
    switch (action.do) {
      case 'show':
        window.show(action.request)
        break
      case 'close-window':
        window.close()
        break
      case 'quit':
        app.quit()
        break
    }
  }

  serveApi(
    createHandlers({
      version: app.getVersion(),
      isStandin: process.versions.electron === undefined,
      connection,
      settings,
      onSettings: changeSettings,
      chooseArchive: () => chooseArchive(window.window),
      accessFor: async (reference) => {
        const { target } = connection.client
        const { access, warnings } = await accessForImage(reference, { environment: process.env, target })
        for (const warning of warnings) console.warn(warning)
        return access
      },
      openExternal: (url) => shell.openExternal(url),
    }),
  )

  const isTrayShown = await hasTrayHost()
  app.on('window-all-closed', () => {
    if (closingLastWindowQuits(isTrayShown)) app.exit(0)
  })
  app.on('second-instance', () => window.open())
  app.on('before-quit', (event) => {
    if (quitting.isDecided) return
    event.preventDefault()
    void quitting.begin()
  })
  app.on('will-quit', () => connection.stop())

  updateMenus()
  window.open()
  await connection.run()
}
