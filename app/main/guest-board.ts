// Which guests live, as the tray and the question at quitting need it: a list at each connection, then events.
import type { CoreEvent, GuestSummary } from '../../core/api/methods.ts'

const living: ReadonlySet<GuestSummary['state']> = new Set(['starting', 'running', 'paused', 'stopping'])

export class GuestBoard {
  #guests = new Map<string, GuestSummary>()

  /** Guests that live, in no order. */
  get running(): readonly GuestSummary[] {
    return [...this.#guests.values()]
  }

  reset(guests: readonly GuestSummary[]): void {
    this.#guests = new Map(guests.filter(({ state }) => living.has(state)).map((guest) => [guest.id, guest]))
  }

  /** True where the event changed the board. */
  apply(event: CoreEvent): boolean {
    if (event.type === 'guest-removed') return this.#guests.delete(event.id)
    if (event.type !== 'guest') return false
    const { guest } = event
    if (!living.has(guest.state)) return this.#guests.delete(guest.id)
    this.#guests.set(guest.id, guest)
    return true
  }
}
