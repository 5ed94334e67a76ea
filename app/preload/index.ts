// The preload: exposes one typed, frozen object to the page and nothing of Electron.
import { contextBridge, type IpcRendererEvent, ipcRenderer } from 'electron'
import { apiNames, type Bridge, eventChannel, invokeChannel, terminalChannel } from './api.ts'
import type { TerminalPortMessage } from './terminal-messages.ts'

/** The page's window as the preload's world sees it; what it needs of it. */
declare const window: {
  postMessage(message: unknown, targetOrigin: string, transfer: readonly unknown[]): void
}

const listeners = new Map<string, Set<(detail: unknown) => void>>()

ipcRenderer.on(eventChannel, (_event: IpcRendererEvent, name: string, detail: unknown) => {
  for (const listener of listeners.get(name) ?? []) listener(detail)
})

// contextBridge cannot hand a port over; a window message can (electron docs/tutorial/message-ports.md). The
// target is this very window, whose navigation is locked to the app's own pages.
ipcRenderer.on(terminalChannel, (event: IpcRendererEvent, terminal: string) => {
  const message: TerminalPortMessage = { bulkhead: 'terminal', terminal }
  window.postMessage(message, '*', event.ports)
})

const api = Object.fromEntries(
  apiNames.map((name) => [name, (...args: unknown[]) => ipcRenderer.invoke(invokeChannel, name, ...args)]),
) as Bridge['api']

const bridge: Bridge = {
  api,
  on(name, listener) {
    const known = listeners.get(name) ?? new Set()
    listeners.set(name, known)
    known.add(listener as (detail: unknown) => void)
    return () => void known.delete(listener as (detail: unknown) => void)
  },
}

contextBridge.exposeInMainWorld('bulkhead', bridge)
