// Notification: a recorder.
import { EventEmitter } from 'node:events'
import type * as Electron from 'electron'
import { onControl } from './control.ts'

const shown: Electron.NotificationConstructorOptions[] = []

export class Notification extends EventEmitter {
  readonly options: Electron.NotificationConstructorOptions

  constructor(options: Electron.NotificationConstructorOptions = {}) {
    super()
    this.options = options
  }

  static isSupported(): boolean {
    return true
  }

  show(): void {
    shown.push(this.options)
    this.emit('show')
  }

  close(): void {
    this.emit('close')
  }
}

onControl('notifications.shown', () => shown)
