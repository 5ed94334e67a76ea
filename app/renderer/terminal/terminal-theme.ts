// The terminal's own colours, one palette for each theme; the backgrounds are those of tokens.css.
import type { ITheme } from '@xterm/xterm'

const light: ITheme = {
  background: '#fcfcfb',
  foreground: '#22282d',
  cursor: '#0b6868',
  cursorAccent: '#fcfcfb',
  selectionBackground: '#c5e3e0',
  black: '#2a3036',
  red: '#b3261e',
  green: '#1d7a3d',
  yellow: '#8a5a00',
  blue: '#1f5fb0',
  magenta: '#8b3a94',
  cyan: '#0b6868',
  white: '#7d868e',
  brightBlack: '#5a646e',
  brightRed: '#d03a30',
  brightGreen: '#23924a',
  brightYellow: '#a26c04',
  brightBlue: '#2f74cc',
  brightMagenta: '#a54db0',
  brightCyan: '#128080',
  brightWhite: '#3a4249',
}

const dark: ITheme = {
  background: '#0e1114',
  foreground: '#d7dce0',
  cursor: '#5fc7be',
  cursorAccent: '#0e1114',
  selectionBackground: '#22504b',
  black: '#262c32',
  red: '#f4786c',
  green: '#5cc787',
  yellow: '#e0b050',
  blue: '#72a7f0',
  magenta: '#cd8fd6',
  cyan: '#5fc7be',
  white: '#c3c9ce',
  brightBlack: '#6b757e',
  brightRed: '#ff978c',
  brightGreen: '#7fdda3',
  brightYellow: '#f2c975',
  brightBlue: '#97c0ff',
  brightMagenta: '#e2ade9',
  brightCyan: '#85ddd5',
  brightWhite: '#f2f4f5',
}

const darkQuery = window.matchMedia('(prefers-color-scheme: dark)')

export const currentTerminalTheme = (): ITheme => (darkQuery.matches ? dark : light)

export function onThemeChange(listener: () => void): () => void {
  darkQuery.addEventListener('change', listener)
  return () => darkQuery.removeEventListener('change', listener)
}
