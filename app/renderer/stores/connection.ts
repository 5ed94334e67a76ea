// How the app stands to its core host, and what it told the page at the start.
import { defineStore } from 'pinia'
import { computed, ref } from 'vue'
import type { Snapshot } from '../../preload/api.ts'
import type { ConnectAction, ConnectionStatus } from '../../preload/connection-status.ts'
import { api, onEvent } from '../bridge/api.ts'

export const useConnection = defineStore('connection', () => {
  const status = ref<ConnectionStatus>({ state: 'connecting', host: { kind: 'none', label: '' } })
  const version = ref('')
  const isStandin = ref(false)
  const isReady = computed(() => status.value.state === 'ready')
  const session = computed(() => (status.value.state === 'ready' ? status.value.session : 0))

  function begin(snapshot: Snapshot): void {
    status.value = snapshot.status
    version.value = snapshot.version
    isStandin.value = snapshot.isStandin
  }

  onEvent('status', (changed) => {
    status.value = changed
  })

  return {
    status,
    version,
    isStandin,
    isReady,
    session,
    begin,
    act: (action: ConnectAction) => api.connect(action),
  }
})
