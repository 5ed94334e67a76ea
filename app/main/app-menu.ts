// The window's menu. Accelerators carry Shift: a plain Ctrl and a letter belongs to the program in the terminal.
import type { ShowRequest } from '../preload/api.ts'
import { text } from '../renderer/text/en.ts'
import type { MenuModelItem } from './menu-model.ts'

export type AppMenuAction =
  | { readonly do: 'show'; readonly request: ShowRequest }
  | { readonly do: 'close-window' }
  | { readonly do: 'quit' }

export function appMenu({
  isConnected,
}: {
  readonly isConnected: boolean
}): readonly MenuModelItem<AppMenuAction>[] {
  const strings = text.menu
  const show = (page: 'guests' | 'images' | 'host' | 'settings', accelerator: string) => ({
    label: text.pages[page],
    accelerator,
    action: { do: 'show', request: { page } } as const,
  })
  return [
    {
      label: strings.guest,
      items: [
        {
          label: strings.launch,
          accelerator: 'CommandOrControl+Shift+N',
          isEnabled: isConnected,
          action: { do: 'show', request: { page: 'launch' } },
        },
        'separator',
        {
          label: strings.closeWindow,
          accelerator: 'CommandOrControl+Shift+W',
          action: { do: 'close-window' },
        },
        { label: strings.quit, accelerator: 'CommandOrControl+Shift+Q', action: { do: 'quit' } },
      ],
    },
    {
      label: strings.image,
      items: [
        {
          label: strings.pull,
          accelerator: 'CommandOrControl+Shift+P',
          isEnabled: isConnected,
          action: { do: 'show', request: { page: 'pull' } },
        },
        {
          label: strings.import,
          isEnabled: isConnected,
          action: { do: 'show', request: { page: 'import' } },
        },
      ],
    },
    {
      label: strings.view,
      items: [
        show('guests', 'Alt+1'),
        show('images', 'Alt+2'),
        show('host', 'Alt+3'),
        show('settings', 'Alt+4'),
      ],
    },
  ]
}
