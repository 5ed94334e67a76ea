// Everything a page can ask of the main process, each request parsed before it is carried out. The table is held
// to the Api interface: a method that is missing here does not compile.
import { randomUUID } from 'node:crypto'
import type { MethodName, ParamsOf } from '../../core/api/methods.ts'
import type { RegistryAccess } from '../../core/client/registry-access/registry-access.ts'
import type { Api, ApiName } from '../preload/api.ts'
import type { Settings } from '../preload/settings.ts'
import { appError } from './app-error.ts'
import { importArchiveFile } from './archive-import.ts'
import type { CoreConnection } from './connection.ts'
import { pullWithAccess } from './pull-access.ts'
import {
  parseConnectAction,
  parseExternalUrl,
  parseMethod,
  parseParams,
  parseSettings,
  parseTerminalRequest,
} from './request-parsing.ts'
import type { SettingsStore } from './settings-store.ts'
import { pumpTerminal, type TerminalPort } from './terminal-pump.ts'

export interface HandlerParts {
  readonly version: string
  readonly isStandin: boolean
  readonly connection: CoreConnection
  readonly settings: SettingsStore
  readonly onSettings: (settings: Settings) => void
  readonly chooseArchive: () => Promise<string | undefined>
  /** The person's own way to the registry of an image (credentials, certificates); it goes with the one job. */
  readonly accessFor: (reference: string) => Promise<RegistryAccess>
  readonly openExternal: (url: string) => Promise<void>
}

/** The page that asks: where a terminal's port is sent to. */
export interface Caller {
  /** Sends one end of a new channel to the page as the port of `terminal`; the other end stays here. */
  openPort(terminal: string): TerminalPort
}

type Unparsed<F> = F extends (...args: infer A) => Promise<infer R>
  ? (caller: Caller, ...args: { [K in keyof A]: unknown }) => Promise<R>
  : never
/** `call` is generic for the page; here its result is whatever the core host answered. */
export type Handlers = {
  readonly [N in ApiName]: N extends 'call'
    ? (caller: Caller, method: unknown, params: unknown) => Promise<unknown>
    : Unparsed<Api[N]>
}

export function createHandlers(parts: HandlerParts): Handlers {
  const { connection, settings } = parts
  return {
    snapshot: async () => ({
      version: parts.version,
      status: connection.status,
      settings: settings.current,
      isStandin: parts.isStandin,
    }),
    connect: async (_caller, action) => connection.act(parseConnectAction(action)),
    call: async (_caller, method, params) => {
      const name: MethodName = parseMethod(method)
      const parsed = parseParams(params)
      const complete = name === 'images.pull' ? await pullWithAccess(parsed, parts.accessFor) : parsed
      // The core host holds them to the method's schema; see core/api/schemas.
      return connection.client.request(name, complete as ParamsOf<typeof name>)
    },
    openTerminal: async (caller, request) => {
      const parsed = parseTerminalRequest(request)
      const { client } = connection
      const terminal = randomUUID()
      // Lives as long as the page's port; what goes wrong is told on the port.
      void pumpTerminal(client, parsed, caller.openPort(terminal))
      return { terminal }
    },
    importArchive: async () => {
      const { client } = connection
      const path = await parts.chooseArchive()
      if (path === undefined) return undefined
      const { job, sent } = await importArchiveFile(client, path)
      // The job carries the failure to everybody who looks at it.
      sent.catch((error: unknown) => console.error(error))
      return { job }
    },
    changeSettings: async (_caller, change) => {
      const parsed = parseSettings(change)
      if (Object.keys(parsed).length === 0)
        throw appError('app.bad-request', 'The page sent settings that are not understood')
      const changed = settings.change(parsed)
      parts.onSettings(changed)
      return changed
    },
    openExternal: async (_caller, url) => parts.openExternal(parseExternalUrl(url)),
  }
}
