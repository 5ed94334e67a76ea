// The line between the stand-in's main process and the isolated world of one page: messages from the page come by
// a DevTools binding that only that world has; messages to it are batched, one round trip for what has gathered.
import type { CDPSession } from 'playwright-core'
import { codec } from './node-codec.ts'
import { bindingName, isolatedWorldName } from './page-scripts.ts'

/** Most text that goes to the page in one call. */
const batchCharacters = 4 * 1024 * 1024

export class PageLink {
  readonly #cdp: CDPSession
  readonly #onMessage: (message: Record<string, unknown>) => void
  readonly #onNewPage: () => void
  #context: number | undefined
  #waiting: string[] = []
  #isSending = false

  constructor(
    cdp: CDPSession,
    options: { onMessage: (message: Record<string, unknown>) => void; onNewPage: () => void },
  ) {
    this.#cdp = cdp
    this.#onMessage = options.onMessage
    this.#onNewPage = options.onNewPage
  }

  /** Installs the binding; the page's scripts must be added before or after, but before the page loads. */
  async open(): Promise<void> {
    this.#cdp.on('Runtime.executionContextCreated', ({ context }) => {
      const isMainFrame = context.auxData?.frameId === this.#mainFrameId
      if (context.name !== isolatedWorldName || !isMainFrame) return
      this.#context = context.id
      void this.#flush()
    })
    this.#cdp.on('Runtime.executionContextDestroyed', ({ executionContextId }) => {
      if (executionContextId === this.#context) this.#loseContext()
    })
    this.#cdp.on('Runtime.executionContextsCleared', () => this.#loseContext())
    this.#cdp.on('Runtime.bindingCalled', ({ name, payload }) => {
      if (name === bindingName) this.#onMessage(codec.decode(payload) as Record<string, unknown>)
    })
    const { frameTree } = await this.#cdp.send('Page.getFrameTree')
    this.#mainFrameId = frameTree.frame.id
    await this.#cdp.send('Runtime.addBinding', {
      name: bindingName,
      executionContextName: isolatedWorldName,
    })
    await this.#cdp.send('Runtime.enable')
  }

  #mainFrameId = ''

  get mainFrameId(): string {
    return this.#mainFrameId
  }

  /** Sends a message to the preload's world; waits in line until a page is there. Throws on what has no clone. */
  send(message: Record<string, unknown>): void {
    this.#waiting.push(codec.encode(message))
    void this.#flush()
  }

  #loseContext(): void {
    if (this.#context === undefined) return
    this.#context = undefined
    this.#waiting = []
    this.#onNewPage()
  }

  async #flush(): Promise<void> {
    if (this.#isSending) return
    this.#isSending = true
    // Whatever else is posted in this turn goes along.
    await new Promise((resolve) => setImmediate(resolve))
    while (this.#waiting.length > 0 && this.#context !== undefined) {
      let characters = 0
      const count = this.#waiting.findIndex((text) => {
        characters += text.length
        return characters > batchCharacters
      })
      const batch = this.#waiting.splice(0, count === -1 ? this.#waiting.length : Math.max(count, 1))
      await this.#cdp
        .send('Runtime.callFunctionOn', {
          functionDeclaration: '(...batch) => globalThis.__bulkheadReceive(batch)',
          executionContextId: this.#context,
          arguments: batch.map((value) => ({ value })),
        })
        .catch(() => {
          // The page went away under the message, as it can in Electron.
        })
    }
    this.#isSending = false
  }
}
