// The icon in the desktop's tray. Its menu is set anew after every change (electron docs/api/tray.md: on Linux
// changes to a menu item show only after `setContextMenu` is called again).
import { Menu, nativeImage, Tray } from 'electron'
import { text } from '../../renderer/text/en.ts'
import { type TrayAction, type TrayModel, trayMenu } from '../tray-menu.ts'
import { buildMenu } from './menus.ts'

export class TrayIcon {
  readonly #tray: Tray
  readonly #onAction: (action: TrayAction) => void

  constructor(iconPath: string, onAction: (action: TrayAction) => void) {
    this.#tray = new Tray(nativeImage.createFromPath(iconPath))
    this.#tray.setToolTip(text.appName)
    this.#tray.on('click', () => onAction({ do: 'open' }))
    this.#onAction = onAction
    this.#tray.setContextMenu(new Menu())
  }

  update(model: TrayModel): void {
    this.#tray.setContextMenu(buildMenu(trayMenu(model), this.#onAction))
  }
}
