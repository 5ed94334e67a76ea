// The tray's menu as a function of what is known: Open first and always there, running guests with their actions
// (at most twelve), Quit last.
import type { GuestSummary } from '../../core/api/methods.ts'
import { text } from '../renderer/text/en.ts'
import type { MenuModelItem } from './menu-model.ts'

export interface TrayModel {
  /** Undefined while there is no connection. */
  readonly guests: readonly GuestSummary[] | undefined
}

export const mostGuestsInTray = 12

export type TrayAction =
  | { readonly do: 'open' }
  | { readonly do: 'show-guest'; readonly guest: string }
  | { readonly do: 'stop-guest'; readonly guest: string }
  | { readonly do: 'quit' }

export function trayMenu({ guests }: TrayModel): readonly MenuModelItem<TrayAction>[] {
  const strings = text.tray
  const running = [...(guests ?? [])].sort((a, b) => a.name.localeCompare(b.name))
  const shown = running.slice(0, mostGuestsInTray)
  const more: MenuModelItem<TrayAction>[] =
    running.length > shown.length
      ? [{ label: strings.more(running.length - shown.length), action: { do: 'open' } }]
      : []
  const empty: MenuModelItem<TrayAction> = {
    label: guests === undefined ? strings.notConnected : strings.noGuests,
    isEnabled: false,
  }
  return [
    { label: strings.open, action: { do: 'open' } },
    'separator',
    ...(shown.length === 0 ? [empty] : shown.map(guestItem)),
    ...more,
    'separator',
    { label: strings.quit, action: { do: 'quit' } },
  ]
}

function guestItem(guest: GuestSummary): MenuModelItem<TrayAction> {
  const isStopping = guest.state === 'stopping'
  return {
    label: guest.state === 'running' ? guest.name : `${guest.name} (${text.guestState[guest.state]})`,
    items: [
      { label: text.tray.openConsole, action: { do: 'show-guest', guest: guest.id } },
      { label: text.tray.stop, isEnabled: !isStopping, action: { do: 'stop-guest', guest: guest.id } },
    ],
  }
}
