// What went wrong in something the person began and has left: shown until it is dismissed.
import { defineStore } from 'pinia'
import { shallowRef } from 'vue'
import type { ErrorBody } from '../../../core/api/methods.ts'
import { errorBodyOf } from '../bridge/api.ts'

export interface Notice {
  readonly id: number
  readonly title: string
  readonly error: ErrorBody
}

export const useNotices = defineStore('notices', () => {
  const all = shallowRef<readonly Notice[]>([])
  let last = 0

  function fail(title: string, cause: unknown): void {
    last += 1
    all.value = [...all.value, { id: last, title, error: errorBodyOf(cause) }]
  }

  function dismiss(id: number): void {
    all.value = all.value.filter((notice) => notice.id !== id)
  }

  return { all, fail, dismiss }
})
