// Every guest of the host.
import { defineStore } from 'pinia'
import { computed } from 'vue'
import type { GuestSummary } from '../../../core/api/methods.ts'
import { api } from '../bridge/api.ts'
import { useRecords } from './records.ts'

const runs: ReadonlySet<GuestSummary['state']> = new Set(['starting', 'running', 'paused', 'stopping'])

export const isLiving = (guest: GuestSummary): boolean => runs.has(guest.state)

export const useGuests = defineStore('guests', () => {
  const records = useRecords(
    (guest: GuestSummary) => guest.id,
    () => api.call('guests.list', { all: true }),
  )
  /** Newest first. */
  const sorted = computed(() => [...records.all.value].sort((a, b) => b.createdAt.localeCompare(a.createdAt)))
  const running = computed(() => sorted.value.filter(isLiving))
  const stopped = computed(() => sorted.value.filter((guest) => !isLiving(guest)))
  return { ...records, sorted, running, stopped }
})
