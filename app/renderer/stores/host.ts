// What is known of the host, asked at each connection.
import { defineStore } from 'pinia'
import { shallowRef } from 'vue'
import type { ErrorBody, HostCheck, HostInfo } from '../../../core/api/methods.ts'
import { api, errorBodyOf } from '../bridge/api.ts'

export const useHost = defineStore('host', () => {
  const info = shallowRef<HostInfo>()
  const checks = shallowRef<readonly HostCheck[]>()
  const error = shallowRef<ErrorBody>()

  async function refresh(): Promise<void> {
    try {
      const [freshInfo, freshChecks] = await Promise.all([
        api.call('host.info', {}),
        api.call('host.check', {}),
      ])
      info.value = freshInfo
      checks.value = freshChecks
      error.value = undefined
    } catch (cause) {
      error.value = errorBodyOf(cause)
    }
  }

  return { info, checks, error, refresh }
})
