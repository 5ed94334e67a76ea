// Menu and MenuItem: kept as the templates they were built from; tests read and click them. The application menu
// has no bar in the stand-in; its accelerators are pressed by the control.
import type * as Electron from 'electron'
import { onControl } from './control.ts'

type Template = Electron.MenuItemConstructorOptions

/** What a test sees of an item. */
export interface MenuItemView {
  readonly label: string
  readonly type: string
  readonly enabled: boolean
  readonly role?: string
  readonly submenu?: readonly MenuItemView[]
}

export class Menu {
  readonly template: readonly Template[]

  constructor(template: readonly Template[] = []) {
    this.template = template
  }

  static buildFromTemplate(template: Template[]): Menu {
    for (const item of template)
      if (item.label === undefined && item.role === undefined && item.type !== 'separator')
        throw new Error('Invalid template for MenuItem: must have at least one of label, role or type')
    return new Menu(template)
  }

  static setApplicationMenu(menu: Menu | null): void {
    applicationMenu = menu ?? undefined
  }

  static getApplicationMenu(): Menu | null {
    return applicationMenu ?? null
  }

  view(): MenuItemView[] {
    return this.template.map(viewOf)
  }

  /** Clicks the item at a path of labels. */
  click(labels: readonly string[]): void {
    let items = this.template
    let found: Template | undefined
    for (const label of labels) {
      found = items.find((item) => item.label === label)
      if (found === undefined) throw new Error(`The menu has no item "${label}"`)
      items = Array.isArray(found.submenu) ? found.submenu : []
    }
    if (found?.enabled === false) throw new Error(`The menu item "${labels.join(' › ')}" is disabled`)
    const click = found?.click as ((...args: unknown[]) => void) | undefined
    click?.(found, undefined, {})
  }
}

let applicationMenu: Menu | undefined

function viewOf(item: Template): MenuItemView {
  return {
    label: item.label ?? '',
    type: item.type ?? (item.submenu === undefined ? 'normal' : 'submenu'),
    enabled: item.enabled ?? true,
    ...(item.role === undefined ? {} : { role: item.role }),
    ...(Array.isArray(item.submenu) ? { submenu: item.submenu.map(viewOf) } : {}),
  }
}

onControl('menu.view', () => applicationMenu?.view() ?? [])
onControl('menu.click', ({ path }) => applicationMenu?.click(path as string[]))
