// protocol: schemes of the app's own, served by a handler (electron docs/api/protocol.md).
import type * as Electron from 'electron'
import { appState } from './app-state.ts'

type Handler = (request: Request) => Response | Promise<Response>

const privileged = new Map<string, Electron.Privileges>()
const handlers = new Map<string, Handler>()

export const protocol = {
  registerSchemesAsPrivileged(schemes: Electron.CustomScheme[]): void {
    if (appState.isReady)
      throw new Error('protocol.registerSchemesAsPrivileged should be called before app is ready')
    for (const { scheme, privileges } of schemes) privileged.set(scheme, privileges ?? {})
  },
  handle(scheme: string, handler: Handler): void {
    if (!appState.isReady) throw new Error('protocol.handle can only be used after app is ready')
    if (handlers.has(scheme)) throw new Error(`Failed to register protocol: ${scheme}`)
    handlers.set(scheme, handler)
  },
  unhandle(scheme: string): void {
    handlers.delete(scheme)
  },
  isProtocolHandled: (scheme: string): boolean => handlers.has(scheme),
}

/** Schemes with a handler. Only a standard scheme has an origin, and only that kind is mapped. */
export function servedSchemes(): string[] {
  return [...handlers.keys()].filter((scheme) => privileged.get(scheme)?.standard === true)
}

/** The handler's answer to a request for an address of the app's own. */
export async function serve(request: Request): Promise<Response> {
  const handler = handlers.get(new URL(request.url).protocol.slice(0, -1))
  if (handler === undefined) return new Response(null, { status: 404 })
  return handler(request)
}
