// The person's settings on disk. What a newer version wrote and this one does not know is kept.
import { defaultSettings, type Settings } from '../preload/settings.ts'
import { readJsonFile, writeJsonFile } from './json-file.ts'
import { parseSettings } from './request-parsing.ts'

export class SettingsStore {
  readonly #path: string
  #file: Readonly<Record<string, unknown>>

  constructor(path: string) {
    this.#path = path
    this.#file = readJsonFile(path)
  }

  get current(): Settings {
    return { ...defaultSettings, ...parseSettings(this.#file) }
  }

  change(change: Partial<Settings>): Settings {
    this.#file = { formatVersion: 1, ...this.#file, ...change }
    writeJsonFile(this.#path, this.#file)
    return this.current
  }
}
