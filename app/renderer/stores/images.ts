// Every image in the host's store, by reference.
import { defineStore } from 'pinia'
import { computed } from 'vue'
import type { ImageSummary } from '../../../core/api/methods.ts'
import { api } from '../bridge/api.ts'
import { useRecords } from './records.ts'

export const useImages = defineStore('images', () => {
  const records = useRecords(
    (image: ImageSummary) => image.reference,
    () => api.call('images.list', {}),
  )
  const sorted = computed(() => [...records.all.value].sort((a, b) => a.reference.localeCompare(b.reference)))
  return { ...records, sorted }
})
