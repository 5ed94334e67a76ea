// Tickets: the right to one stream connection, handed out over the control connection.
import { randomBytes } from 'node:crypto'
import type { StreamSession } from '../runtime/broker/stream-session.ts'

const lifetimeMs = 30_000

interface Waiting {
  readonly session: StreamSession
  readonly timer: NodeJS.Timeout
}

export class Tickets {
  readonly #waiting = new Map<string, Waiting>()

  /** A ticket for `session`, which is closed if nobody comes for it within 30 s. */
  issue(session: StreamSession): string {
    const ticket = randomBytes(16).toString('hex')
    const timer = setTimeout(() => {
      this.#waiting.delete(ticket)
      session.close()
    }, lifetimeMs)
    timer.unref()
    this.#waiting.set(ticket, { session, timer })
    return ticket
  }

  /** The session of `ticket`, once. */
  redeem(ticket: string): StreamSession | undefined {
    const waiting = this.#waiting.get(ticket)
    if (waiting === undefined) return undefined
    this.#waiting.delete(ticket)
    clearTimeout(waiting.timer)
    return waiting.session
  }

  close(): void {
    for (const { session, timer } of this.#waiting.values()) {
      clearTimeout(timer)
      session.close()
    }
    this.#waiting.clear()
  }
}
