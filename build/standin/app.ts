// app: the life of the process, one instance of it, and its folders (electron docs/api/app.md).
import { EventEmitter } from 'node:events'
import { mkdirSync, readFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type * as Electron from 'electron'
import { appState } from './app-state.ts'
import { onControl } from './control.ts'
import { takeInstanceLock } from './instance-lock.ts'

interface Window {
  close(): void
  isDestroyed(): boolean
}

interface PackageJson {
  readonly name: string
  readonly productName?: string
  readonly version: string
}

type PathName = 'home' | 'appData' | 'userData' | 'temp' | 'downloads'

class App
  extends EventEmitter
  implements
    Pick<
      Electron.App,
      'whenReady' | 'isReady' | 'quit' | 'exit' | 'getName' | 'setName' | 'getVersion' | 'enableSandbox'
    >
{
  readonly isPackaged = false
  isSandboxEnforced = false
  readonly #package: PackageJson
  readonly #folder: string
  #name: string
  /** Set by electron.ts: asks for the windows without a circle of imports. */
  windows: () => readonly Window[] = () => []

  constructor() {
    super()
    const { folder, json } = findPackage(process.argv[1] ?? process.cwd())
    this.#folder = folder
    this.#package = json
    this.#name = json.productName ?? json.name
    // Like Electron, ready comes after the main script has run for the first time.
    setImmediate(() => {
      appState.isReady = true
      this.emit('ready', {}, {})
    })
  }

  isReady(): boolean {
    return appState.isReady
  }

  async whenReady(): Promise<void> {
    if (!appState.isReady) await new Promise((resolve) => this.once('ready', resolve))
  }

  getName(): string {
    return this.#name
  }

  setName(name: string): void {
    this.#name = name
  }

  getVersion(): string {
    return this.#package.version
  }

  getAppPath(): string {
    return this.#folder
  }

  getPath(name: PathName): string {
    const configuration = process.env.XDG_CONFIG_HOME ?? join(homedir(), '.config')
    switch (name) {
      case 'home':
        return homedir()
      case 'temp':
        return tmpdir()
      case 'downloads':
        return join(homedir(), 'Downloads')
      case 'appData':
        return configuration
      case 'userData':
        return join(configuration, this.#name)
    }
  }

  enableSandbox(): void {
    if (appState.isReady) throw new Error('app.enableSandbox() can only be called before app is ready')
    this.isSandboxEnforced = true
  }

  requestSingleInstanceLock(data: Record<string, unknown> = {}): boolean {
    mkdirSync(this.getPath('userData'), { recursive: true })
    return takeInstanceLock(this.getPath('userData'), data, (argv, folder, additional) =>
      this.emit('second-instance', {}, argv, folder, additional),
    )
  }

  /** `before-quit`, then every window is asked to close, then `will-quit`, `quit`, and the end. */
  quit(): void {
    if (appState.isQuitting) return
    appState.isQuitting = true
    if (this.#isPrevented('before-quit')) {
      appState.isQuitting = false
      return
    }
    const windows = this.windows()
    for (const window of windows) window.close()
    if (windows.some((window) => !window.isDestroyed())) {
      appState.isQuitting = false
      return
    }
    if (this.#isPrevented('will-quit')) {
      appState.isQuitting = false
      return
    }
    this.exit(0)
  }

  exit(code = 0): void {
    this.emit('quit', {}, code)
    process.exit(code)
  }

  /** The last window is gone: without a listener that is the end (docs/api/app.md, window-all-closed). */
  allWindowsClosed(): void {
    if (appState.isQuitting) return
    if (this.listenerCount('window-all-closed') === 0) this.quit()
    else this.emit('window-all-closed')
  }

  #isPrevented(event: 'before-quit' | 'will-quit'): boolean {
    let isPrevented = false
    this.emit(event, {
      preventDefault: () => {
        isPrevented = true
      },
    })
    return isPrevented
  }
}

function findPackage(script: string): { folder: string; json: PackageJson } {
  for (let folder = dirname(script); folder !== dirname(folder); folder = dirname(folder)) {
    try {
      return { folder, json: JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as PackageJson }
    } catch {
      // One folder further up.
    }
  }
  throw new Error(`Cannot find the package.json of ${script}`)
}

export const app = new App()

onControl('app.state', () => ({
  isReady: appState.isReady,
  isSandboxEnforced: app.isSandboxEnforced,
  name: app.getName(),
}))
onControl('app.quit', () => app.quit())
