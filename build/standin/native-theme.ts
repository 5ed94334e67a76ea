// nativeTheme: the app's choice of theme reaches pages as `prefers-color-scheme`, as in Electron. What the desktop
// prefers comes from the launcher (`STANDIN_DARK=1`) or from a test.
import { EventEmitter } from 'node:events'
import { onControl } from './control.ts'

type Source = 'system' | 'light' | 'dark'

class NativeTheme extends EventEmitter {
  #source: Source = 'system'
  #systemIsDark = process.env.STANDIN_DARK === '1'

  get themeSource(): Source {
    return this.#source
  }

  set themeSource(source: Source) {
    if (source === this.#source) return
    this.#source = source
    this.emit('updated')
  }

  get shouldUseDarkColors(): boolean {
    return this.#source === 'system' ? this.#systemIsDark : this.#source === 'dark'
  }

  setSystem(isDark: boolean): void {
    this.#systemIsDark = isDark
    if (this.#source === 'system') this.emit('updated')
  }
}

export const nativeTheme = new NativeTheme()

onControl('theme.system', ({ dark }) => nativeTheme.setSystem(dark === true))
