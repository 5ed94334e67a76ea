// Carries actions out, one at a time for each guest, and says what went wrong.
import { defineStore } from 'pinia'
import { shallowReactive } from 'vue'
import type { GuestSummary } from '../../../core/api/methods.ts'
import { api } from '../bridge/api.ts'
import { useConnection } from '../stores/connection.ts'
import { useNotices } from '../stores/notices.ts'
import { text } from '../text/en.ts'
import { type GuestAction, reasonAgainst } from './guest-actions.ts'

const calls: Readonly<Record<GuestAction, (guest: string) => Promise<unknown>>> = {
  start: (guest) => api.call('guests.start', { guest }),
  stop: (guest) => api.call('guests.stop', { guest }),
  pause: (guest) => api.call('guests.pause', { guest }),
  unpause: (guest) => api.call('guests.unpause', { guest }),
  kill: (guest) => api.call('guests.kill', { guest }),
  remove: (guest) => api.call('guests.remove', { guest }),
}

export const useGuestActions = defineStore('guest-actions', () => {
  const connection = useConnection()
  const notices = useNotices()
  const busy = shallowReactive(new Map<string, GuestAction>())

  function reason(action: GuestAction, guest: GuestSummary): string | undefined {
    return reasonAgainst(action, guest, { isConnected: connection.isReady, isBusy: busy.has(guest.id) })
  }

  async function run(action: GuestAction, guest: GuestSummary): Promise<void> {
    if (reason(action, guest) !== undefined) return
    busy.set(guest.id, action)
    try {
      await calls[action](guest.id)
    } catch (error) {
      notices.fail(text.guest.failed(text.guest.actions[action], guest.name), error)
    } finally {
      busy.delete(guest.id)
    }
  }

  return { busy, reason, run }
})
