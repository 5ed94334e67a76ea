import type { Bridge } from '../preload/api.ts'

declare global {
  interface Window {
    readonly bulkhead: Bridge
  }
}
