// The page's side of the bridge: unwraps envelopes, so that a failed call is an ApiError with code and hint.
import type { ErrorBody, ParamsOf, ResultOf } from '../../../core/api/methods.ts'
import type { Envelope, PageEventName, PageEvents, PageMethod, TerminalRequest } from '../../preload/api.ts'
import type { ConnectAction } from '../../preload/connection-status.ts'
import type { Settings } from '../../preload/settings.ts'

/** What went wrong in a call, as the person may read it. */
export class ApiError extends Error {
  readonly code: string
  readonly hint: string | undefined

  constructor({ code, message, hint }: ErrorBody) {
    super(message)
    this.name = 'ApiError'
    this.code = code
    this.hint = hint
  }
}

async function unwrap<T>(answer: Promise<Envelope<T>>): Promise<T> {
  const envelope = await answer
  if ('error' in envelope) throw new ApiError(envelope.error)
  return envelope.ok
}

const bridge = () => window.bulkhead.api

export const api = {
  snapshot: () => unwrap(bridge().snapshot()),
  connect: (action: ConnectAction) => unwrap(bridge().connect(action)),
  call: <M extends PageMethod>(method: M, params: ParamsOf<M>): Promise<ResultOf<M>> =>
    unwrap(bridge().call(method, params) as Promise<Envelope<ResultOf<M>>>),
  openTerminal: (request: TerminalRequest) => unwrap(bridge().openTerminal(request)),
  importArchive: () => unwrap(bridge().importArchive()),
  changeSettings: (change: Partial<Settings>) => unwrap(bridge().changeSettings(change)),
  openExternal: (url: string) => unwrap(bridge().openExternal(url)),
}

export function onEvent<N extends PageEventName>(
  name: N,
  listener: (detail: PageEvents[N]) => void,
): () => void {
  return window.bulkhead.on(name, listener)
}

/** Any thrown value as what the page shows. */
export function errorBodyOf(error: unknown): ErrorBody {
  if (error instanceof ApiError)
    return {
      code: error.code,
      message: error.message,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    }
  return { code: 'app.internal', message: error instanceof Error ? error.message : String(error) }
}
