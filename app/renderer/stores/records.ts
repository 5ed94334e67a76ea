// A list that the core host keeps and the page follows: fetched as a whole at each connection, then kept up to date
// by events. Records are replaced, never changed, so nothing in them needs to be reactive.
import { computed, shallowReactive, shallowRef } from 'vue'
import type { ErrorBody } from '../../../core/api/methods.ts'
import { errorBodyOf } from '../bridge/api.ts'

export function useRecords<T>(keyOf: (record: T) => string, fetchAll: () => Promise<readonly T[]>) {
  const byKey = shallowReactive(new Map<string, T>())
  const state = shallowRef<'loading' | 'ready' | 'failed'>('loading')
  const error = shallowRef<ErrorBody>()
  const all = computed(() => [...byKey.values()])

  async function refresh(): Promise<void> {
    try {
      const records = await fetchAll()
      const fresh = new Set(records.map(keyOf))
      for (const key of byKey.keys()) if (!fresh.has(key)) byKey.delete(key)
      for (const record of records) byKey.set(keyOf(record), record)
      state.value = 'ready'
      error.value = undefined
    } catch (cause) {
      error.value = errorBodyOf(cause)
      if (state.value === 'loading') state.value = 'failed'
    }
  }

  const put = (record: T): void => void byKey.set(keyOf(record), record)
  const remove = (key: string): void => void byKey.delete(key)
  return { byKey, all, state, error, refresh, put, remove }
}
