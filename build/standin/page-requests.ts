// Every request of a page stops here: the app's own schemes are answered by their handlers, and a navigation that
// the page itself began is first shown to the app (`will-navigate`), which may prevent it.
import type { CDPSession } from 'playwright-core'
import { serve, servedSchemes } from './protocol.ts'
import { fromChromium } from './url-mapping.ts'

/** What is used of the protocol's `Fetch.requestPaused`. */
interface Paused {
  readonly requestId: string
  readonly frameId: string
  readonly resourceType: string
  readonly request: {
    readonly url: string
    readonly method: string
    readonly headers: Readonly<Record<string, string>>
  }
}

export interface NavigationRequest {
  readonly url: string
  readonly isMainFrame: boolean
}

export interface PageRequestsOptions {
  readonly mainFrameId: string
  /** False: the page stays where it is. */
  readonly mayNavigate: (navigation: NavigationRequest) => boolean
}

/** Answers the requests of the page behind `cdp` until the page is gone. */
export async function servePageRequests(cdp: CDPSession, options: PageRequestsOptions): Promise<void> {
  cdp.on('Fetch.requestPaused', (event) => void answer(event).catch(ignoreGonePage))
  await cdp.send('Fetch.enable', { patterns: [{ urlPattern: '*', requestStage: 'Request' }] })

  async function answer({ requestId, frameId, resourceType, request }: Paused): Promise<void> {
    const url = fromChromium(request.url, servedSchemes())
    if (resourceType === 'Document') {
      const isAllowed = options.mayNavigate({ url, isMainFrame: frameId === options.mainFrameId })
      if (!isAllowed) return void (await cdp.send('Fetch.failRequest', { requestId, errorReason: 'Aborted' }))
    }
    const scheme = URL.canParse(url) ? new URL(url).protocol.slice(0, -1) : ''
    if (!servedSchemes().includes(scheme))
      return void (await cdp.send('Fetch.continueRequest', { requestId }))
    const response = await serve(new Request(url, { method: request.method, headers: request.headers }))
    const body = Buffer.from(await response.arrayBuffer())
    await cdp.send('Fetch.fulfillRequest', {
      requestId,
      responseCode: response.status,
      responseHeaders: [...response.headers].map(([name, value]) => ({ name, value })),
      body: body.toString('base64'),
    })
  }
}

function ignoreGonePage(error: unknown): void {
  if (!/closed|Invalid InterceptionId|detached/i.test(String(error))) console.error('Stand-in:', error)
}
