// The `electron` module of the stand-in: the part of Electron's API that the app uses, over the system's Chromium.
// Names and shapes are held to electron.d.ts here and in the classes themselves; behaviour is held to Electron's
// documentation by the contract suite (docs/electron.md).
import type * as Electron from 'electron'
import { app } from './app.ts'
import { BrowserWindow } from './browser-window.ts'
import { onControl } from './control.ts'
import { dialog } from './dialog.ts'
import { ipcMain } from './ipc-main.ts'
import { Menu } from './menu.ts'
import { MessageChannelMain } from './message-ports.ts'
import { nativeImage } from './native-image.ts'
import { nativeTheme } from './native-theme.ts'
import { Notification } from './notification.ts'
import { protocol } from './protocol.ts'
import { screen } from './screen.ts'
import { session } from './session.ts'
import { shell } from './shell.ts'
import { Tray } from './tray.ts'

app.windows = () => BrowserWindow.getAllWindows()

// Whoever ends the stand-in ends the app in order.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => app.exit(0))
onControl('app.second-instance', ({ argv }) => app.emit('second-instance', {}, argv, process.cwd(), {}))

app satisfies Pick<
  Electron.App,
  | 'whenReady'
  | 'isReady'
  | 'quit'
  | 'exit'
  | 'getName'
  | 'setName'
  | 'getVersion'
  | 'getAppPath'
  | 'enableSandbox'
  | 'isPackaged'
>
nativeTheme satisfies Pick<Electron.NativeTheme, 'themeSource' | 'shouldUseDarkColors'>
protocol satisfies Pick<Electron.Protocol, 'registerSchemesAsPrivileged' | 'unhandle' | 'isProtocolHandled'>
shell satisfies Pick<Electron.Shell, 'openExternal'>
Notification satisfies Pick<typeof Electron.Notification, 'isSupported'>

export {
  app,
  BrowserWindow,
  dialog,
  ipcMain,
  Menu,
  MessageChannelMain,
  Notification,
  nativeImage,
  nativeTheme,
  protocol,
  screen,
  session,
  shell,
  Tray,
}
