// Quitting once, in order: ask about running guests, stop them where that is wanted, then end the app.
import type { Settings } from '../preload/settings.ts'
import { type QuitDecision, quitDecision } from './quit-rule.ts'

export interface QuittingParts {
  readonly onQuit: () => Settings['onQuit']
  readonly runningGuests: () => readonly string[]
  readonly ask: (runningGuests: number) => Promise<{ decision: QuitDecision; isRemembered: boolean }>
  readonly remember: (onQuit: 'keep' | 'stop') => void
  readonly stopGuest: (guest: string) => Promise<void>
  readonly end: () => void
}

export class Quitting {
  readonly #parts: QuittingParts
  #isAsking = false
  #isDecided = false

  constructor(parts: QuittingParts) {
    this.#parts = parts
  }

  /** True once the app may end; before that, asking goes on in the background. */
  get isDecided(): boolean {
    return this.#isDecided
  }

  /** Begins to quit; a second call while the first one asks does nothing. */
  async begin(): Promise<void> {
    if (this.#isAsking || this.#isDecided) return
    this.#isAsking = true
    try {
      const guests = this.#parts.runningGuests()
      const decision = await this.#decide(guests.length)
      if (decision === 'cancel') return
      // A guest that cannot be stopped must not keep the person in the app: it stays as it is.
      if (decision === 'stop') await Promise.allSettled(guests.map((guest) => this.#parts.stopGuest(guest)))
      this.#isDecided = true
      this.#parts.end()
    } finally {
      this.#isAsking = false
    }
  }

  async #decide(runningGuests: number): Promise<QuitDecision> {
    const known = quitDecision(this.#parts.onQuit(), runningGuests)
    if (known !== 'ask') return known
    const { decision, isRemembered } = await this.#parts.ask(runningGuests)
    if (isRemembered && decision !== 'cancel') this.#parts.remember(decision)
    return decision
  }
}
