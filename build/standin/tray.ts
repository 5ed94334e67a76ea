// Tray: a recorder. Tests read its menu and click it; no icon is drawn.
import { EventEmitter } from 'node:events'
import type * as Electron from 'electron'
import { onControl } from './control.ts'
import type { Menu } from './menu.ts'
import type { NativeImage } from './native-image.ts'

export class Tray
  extends EventEmitter
  implements Pick<Electron.Tray, 'setToolTip' | 'destroy' | 'isDestroyed'>
{
  static readonly all = new Set<Tray>()
  menu: Menu | undefined
  toolTip = ''
  image: NativeImage | string

  constructor(image: NativeImage | string) {
    super()
    this.image = image
    Tray.all.add(this)
  }

  setToolTip(toolTip: string): void {
    this.toolTip = toolTip
  }

  setImage(image: NativeImage | string): void {
    this.image = image
  }

  setContextMenu(menu: Menu | null): void {
    this.menu = menu ?? undefined
  }

  destroy(): void {
    Tray.all.delete(this)
  }

  isDestroyed(): boolean {
    return !Tray.all.has(this)
  }
}

onControl('tray.view', () =>
  [...Tray.all].map((tray) => ({
    toolTip: tray.toolTip,
    image: typeof tray.image === 'string' ? tray.image : tray.image.path,
    menu: tray.menu?.view() ?? [],
  })),
)
onControl('tray.click', ({ path }) => {
  for (const tray of Tray.all) tray.menu?.click(path as string[])
})
