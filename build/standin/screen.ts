// screen: Chromium tells a page about displays, not the stand-in; one display that is large enough stands for all.
import type * as Electron from 'electron'

const bounds = { x: 0, y: 0, width: 3840, height: 2160 } as const

export const screen = {
  getAllDisplays: (): Pick<Electron.Display, 'id' | 'bounds' | 'workArea'>[] => [
    { id: 1, bounds: { ...bounds }, workArea: { ...bounds } },
  ],
}
