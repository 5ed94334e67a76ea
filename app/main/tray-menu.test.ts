import { expect, it } from 'vitest'
import type { GuestSummary } from '../../core/api/methods.ts'
import { mostGuestsInTray, trayMenu } from './tray-menu.ts'

function guest(name: string, state: GuestSummary['state'] = 'running'): GuestSummary {
  return {
    id: name.padEnd(64, '0'),
    name,
    image: 'busybox',
    imageDigest: 'sha256:0',
    command: ['sh'],
    state,
    mode: 'pv',
    memoryMiB: 512,
    vcpus: 1,
    createdAt: '2026-11-24T06:00:00.000Z',
    terminal: true,
    autoRemove: false,
    ports: [],
  }
}

const labels = (model: Parameters<typeof trayMenu>[0]) =>
  trayMenu(model).map((item) => (item === 'separator' ? '—' : item.label))

it('trayMenu() has Open first and Quit last, whatever is known', () => {
  expect(labels({ guests: undefined })).toEqual(['Open Bulkhead', '—', 'Not connected', '—', 'Quit'])
  expect(labels({ guests: [] })).toEqual(['Open Bulkhead', '—', 'No running guests', '—', 'Quit'])
})

it('trayMenu() lists guests by name, each with its console and Stop', () => {
  const menu = trayMenu({ guests: [guest('web'), guest('db', 'paused')] })
  expect(menu[2]).toMatchObject({ label: 'db (Paused)' })
  expect(menu[3]).toEqual({
    label: 'web',
    items: [
      { label: 'Open console', action: { do: 'show-guest', guest: 'web'.padEnd(64, '0') } },
      { label: 'Stop', isEnabled: true, action: { do: 'stop-guest', guest: 'web'.padEnd(64, '0') } },
    ],
  })
})

it('trayMenu() offers no second Stop while a guest stops', () => {
  const [, , item] = trayMenu({ guests: [guest('web', 'stopping')] })
  expect(item).toMatchObject({ items: [{}, { label: 'Stop', isEnabled: false }] })
})

it('trayMenu() leads to the window where there are too many guests', () => {
  const guests = Array.from({ length: mostGuestsInTray + 3 }, (_, index) => guest(`g${index}`))
  expect(labels({ guests }).at(-3)).toBe('3 more…')
})
