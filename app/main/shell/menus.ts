// Turns menus that were decided as data into Electron's.
import { Menu, type MenuItemConstructorOptions } from 'electron'
import type { MenuModelItem } from '../menu-model.ts'

export function buildMenu<Action>(
  items: readonly MenuModelItem<Action>[],
  onAction: (action: Action) => void,
): Menu {
  return Menu.buildFromTemplate(items.map((item) => optionsOf(item, onAction)))
}

function optionsOf<Action>(
  item: MenuModelItem<Action>,
  onAction: (action: Action) => void,
): MenuItemConstructorOptions {
  if (item === 'separator') return { type: 'separator' }
  const { label, accelerator, isEnabled = true, action, items } = item
  return {
    label,
    enabled: isEnabled,
    ...(accelerator === undefined ? {} : { accelerator }),
    ...(action === undefined ? {} : { click: () => onAction(action) }),
    ...(items === undefined ? {} : { submenu: items.map((child) => optionsOf(child, onAction)) }),
  }
}
