// The one interface between the page and the app's main process: what the page may ask for, what it is told, and
// the envelope that carries answers (Electron passes on nothing of a thrown error but its message).
import type { ErrorBody, EventNotification, MethodName, ParamsOf, ResultOf } from '../../core/api/methods.ts'
import type { ConnectAction, ConnectionStatus } from './connection-status.ts'
import type { Settings } from './settings.ts'

/** Methods of the core host that the page may call; the rest is the main process's own business. */
export const pageMethods = [
  'host.info',
  'host.check',
  'images.list',
  'images.inspect',
  'images.pull',
  'images.remove',
  'guests.create',
  'guests.start',
  'guests.stop',
  'guests.kill',
  'guests.pause',
  'guests.unpause',
  'guests.remove',
  'guests.list',
  'guests.inspect',
  'jobs.list',
  'jobs.cancel',
] as const satisfies readonly MethodName[]
export type PageMethod = (typeof pageMethods)[number]

/** What a page needs before it can show anything. */
export interface Snapshot {
  readonly version: string
  readonly status: ConnectionStatus
  readonly settings: Settings
  /** True where the app runs on the Electron stand-in. */
  readonly isStandin: boolean
}

export interface TerminalRequest {
  readonly guest: string
  /** The program's terminal or pipes, or the kernel's console. */
  readonly kind: 'stdio' | 'console'
}

/** Everything a page can ask of the main process. A rejected call carries an ErrorBody. */
export interface Api {
  snapshot(): Promise<Snapshot>
  /** A way out of a failed connection. */
  connect(action: ConnectAction): Promise<void>
  call<M extends PageMethod>(method: M, params: ParamsOf<M>): Promise<ResultOf<M>>
  /** The port of the terminal with this id follows as a window message, see terminal-messages.ts. */
  openTerminal(request: TerminalRequest): Promise<{ readonly terminal: string }>
  /** Lets the person choose an archive and imports it; nothing where they chose none. */
  importArchive(): Promise<{ readonly job: string } | undefined>
  changeSettings(change: Partial<Settings>): Promise<Settings>
  openExternal(url: string): Promise<void>
}
export type ApiName = keyof Api

/** What the main process tells pages without being asked. */
export interface PageEvents {
  status: ConnectionStatus
  core: EventNotification
  settings: Settings
  show: ShowRequest
}
export type PageEventName = keyof PageEvents

/** Where a menu or the tray wants the page to go. */
export type ShowRequest =
  | { readonly page: 'guests' | 'images' | 'host' | 'settings' }
  | { readonly page: 'guest'; readonly guest: string }
  | { readonly page: 'launch' }
  | { readonly page: 'pull' }
  | { readonly page: 'import' }

export type Envelope<T> = { readonly ok: T } | { readonly error: ErrorBody }

type InEnvelope<F> = F extends (...args: infer A) => Promise<infer R>
  ? (...args: A) => Promise<Envelope<R>>
  : never

/** What the preload exposes as `window.bulkhead`: plain functions, frozen. */
export interface Bridge {
  readonly api: { readonly [N in ApiName]: InEnvelope<Api[N]> }
  /** Hears an event from now on; the result ends it. */
  on<N extends PageEventName>(name: N, listener: (detail: PageEvents[N]) => void): () => void
}

export const invokeChannel = 'bulkhead:api'
export const eventChannel = 'bulkhead:event'
export const terminalChannel = 'bulkhead:terminal'

/** Every name once, so that the preload and the handlers cannot forget one. */
export const apiNames = Object.keys({
  snapshot: true,
  connect: true,
  call: true,
  openTerminal: true,
  importArchive: true,
  changeSettings: true,
  openExternal: true,
} satisfies Record<ApiName, true>) as ApiName[]
