// The only door between pages and the main process: one channel, its caller checked each time.
import {
  BrowserWindow,
  type IpcMainInvokeEvent,
  ipcMain,
  MessageChannelMain,
  type WebContents,
} from 'electron'
import {
  type ApiName,
  apiNames,
  type Envelope,
  eventChannel,
  invokeChannel,
  type PageEventName,
  type PageEvents,
  terminalChannel,
} from '../../preload/api.ts'
import { appError } from '../app-error.ts'
import { envelopeOf } from '../envelope.ts'
import type { Caller, Handlers } from '../handlers.ts'
import { isTrustedSender } from '../sender-rule.ts'

export function serveApi(handlers: Handlers): void {
  ipcMain.handle(
    invokeChannel,
    (event, name: unknown, ...args: unknown[]): Promise<Envelope<unknown>> =>
      envelopeOf(async () => {
        if (!isTrusted(event))
          throw appError('app.bad-request', 'A call came from something that is no page of Bulkhead')
        if (!isApiName(name))
          throw appError('app.bad-request', 'The page called something that does not exist')
        const handler = handlers[name] as (caller: Caller, ...args: unknown[]) => Promise<unknown>
        return handler(callerOf(event.sender), ...args)
      }),
  )
}

/** Tells every page. */
export function tellPages<N extends PageEventName>(name: N, detail: PageEvents[N]): void {
  for (const window of BrowserWindow.getAllWindows())
    if (!window.isDestroyed()) window.webContents.send(eventChannel, name, detail)
}

function isTrusted(event: IpcMainInvokeEvent): boolean {
  return isTrustedSender({
    frameUrl: event.senderFrame?.url,
    isMainFrame: event.senderFrame === event.sender.mainFrame,
    isOurWindow: BrowserWindow.getAllWindows().some((window) => window.webContents === event.sender),
  })
}

function isApiName(name: unknown): name is ApiName {
  return apiNames.some((known) => known === name)
}

function callerOf(page: WebContents): Caller {
  return {
    openPort(terminal) {
      const { port1, port2 } = new MessageChannelMain()
      page.postMessage(terminalChannel, terminal, [port2])
      return port1
    },
  }
}
