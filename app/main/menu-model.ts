// A menu as data: what the pure functions decide and the shell turns into Electron's menus.

export type MenuModelItem<Action> =
  | 'separator'
  | {
      readonly label: string
      readonly accelerator?: string
      readonly isEnabled?: boolean
      readonly action?: Action
      readonly items?: readonly MenuModelItem<Action>[]
    }
