// What a person can set in the app.

export interface Settings {
  readonly theme: 'system' | 'light' | 'dark'
  /** What quitting does with running guests. */
  readonly onQuit: 'ask' | 'keep' | 'stop'
  /** In CSS pixels. */
  readonly terminalFontSize: number
}

export const defaultSettings: Settings = { theme: 'system', onQuit: 'ask', terminalFontSize: 13 }
