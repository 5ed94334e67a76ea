// Pulls, imports and builds: those that run, and those that ended while the app was looking.
import { defineStore } from 'pinia'
import { computed } from 'vue'
import type { Job } from '../../../core/api/methods.ts'
import { api } from '../bridge/api.ts'
import { useRecords } from './records.ts'

/** From 0 to 1, or undefined while nobody knows how much there is to do. */
export function jobFraction({ progress }: Job): number | undefined {
  if (progress.bytesTotal <= 0) return undefined
  return Math.min(1, progress.bytesDone / progress.bytesTotal)
}

export const useJobs = defineStore('jobs', () => {
  const records = useRecords(
    (job: Job) => job.id,
    () => api.call('jobs.list', {}),
  )
  const newestFirst = computed(() =>
    [...records.all.value].sort((a, b) => b.startedAt.localeCompare(a.startedAt)),
  )
  const running = computed(() => newestFirst.value.filter((job) => job.state === 'running'))
  return { ...records, newestFirst, running, cancel: (job: string) => api.call('jobs.cancel', { job }) }
})
