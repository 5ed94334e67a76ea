// Where the window was: kept between starts, and moved back onto a screen where it would be out of sight.
import { readJsonFile, writeJsonFile } from './json-file.ts'

export interface Rectangle {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

export interface WindowState {
  /** Without a position the desktop places the window. */
  readonly bounds: {
    readonly width: number
    readonly height: number
    readonly x?: number
    readonly y?: number
  }
  readonly isMaximized: boolean
}

export const smallestWindow = { width: 720, height: 480 } as const
const firstWindow: WindowState = { bounds: { width: 1180, height: 760 }, isMaximized: false }

/** The state to open the window with: the stored one, as far as it makes sense on these screens. */
export function usableWindowState(
  stored: Readonly<Record<string, unknown>>,
  screens: readonly Rectangle[],
): WindowState {
  const { x, y, width, height, isMaximized } = stored
  if (!isNumber(width) || !isNumber(height)) return firstWindow
  const size = {
    width: Math.max(Math.round(width), smallestWindow.width),
    height: Math.max(Math.round(height), smallestWindow.height),
  }
  const isSeen =
    isNumber(x) &&
    isNumber(y) &&
    screens.some(
      (screen) =>
        x + size.width > screen.x + 64 &&
        x < screen.x + screen.width - 64 &&
        y >= screen.y &&
        y < screen.y + screen.height - 64,
    )
  const bounds = isSeen ? { ...size, x: Math.round(x), y: Math.round(y) } : size
  return { bounds, isMaximized: isMaximized === true }
}

export function readWindowState(path: string, screens: readonly Rectangle[]): WindowState {
  return usableWindowState(readJsonFile(path), screens)
}

export function storeWindowState(path: string, bounds: Rectangle, isMaximized: boolean): void {
  writeJsonFile(path, { formatVersion: 1, ...bounds, isMaximized })
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}
