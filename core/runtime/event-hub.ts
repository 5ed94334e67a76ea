// What changed, in one order for everybody, with a revision that has no gaps.
import type { CoreEvent, EventNotification } from '../api/methods.ts'

export class EventHub {
  #revision = 0
  readonly #listeners = new Set<(notification: EventNotification) => void>()

  get revision(): number {
    return this.#revision
  }

  publish(event: CoreEvent): void {
    this.#revision++
    const notification = { revision: this.#revision, event }
    for (const listener of this.#listeners) listener(notification)
  }

  /** Calls `listener` for every event from now on, until the returned function is called. */
  subscribe(listener: (notification: EventNotification) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}
