// The person's settings; the main process stores them and tells every window.
import { defineStore } from 'pinia'
import { shallowRef } from 'vue'
import { defaultSettings, type Settings } from '../../preload/settings.ts'
import { api, onEvent } from '../bridge/api.ts'

export const useSettings = defineStore('settings', () => {
  const current = shallowRef<Settings>(defaultSettings)
  const begin = (settings: Settings): void => {
    current.value = settings
  }
  onEvent('settings', begin)
  return { current, begin, change: (change: Partial<Settings>) => api.changeSettings(change) }
})
