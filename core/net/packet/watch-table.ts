// Who gets the events of a descriptor. The kernel hands back a token, not the descriptor's number: numbers are used again
// at once, and an event that was fetched before a socket was closed must not reach the next owner of its number.

const PLACE_BITS = 18
const PLACES = 1 << PLACE_BITS
const GENERATIONS = 1 << (32 - PLACE_BITS)

export class WatchTable<Watch> {
  readonly #watches: (Watch | undefined)[] = []
  readonly #generations: number[] = []
  readonly #free: number[] = []
  /** Left in this turn: free at its end. */
  readonly #left: number[] = []

  /** A token (32 bits, unsigned) for `watch`. Throws RangeError beyond 262 144, far above the limit of descriptors. */
  claim(watch: Watch): number {
    const place = this.#free.pop() ?? this.#watches.length
    if (place >= PLACES) throw new RangeError(`There are ${PLACES} watches already`)
    this.#watches[place] = watch
    const generation = this.#generations[place] ?? 0
    this.#generations[place] = generation
    return ((generation << PLACE_BITS) | place) >>> 0
  }

  /** What the token stands for; undefined once it was released. */
  get(token: number): Watch | undefined {
    const place = token & (PLACES - 1)
    return this.#generations[place] === token >>> PLACE_BITS ? this.#watches[place] : undefined
  }

  /** Lets the token go. False where it was gone before. */
  release(token: number): boolean {
    if (this.get(token) === undefined) return false
    const place = token & (PLACES - 1)
    this.#watches[place] = undefined
    this.#generations[place] = ((this.#generations[place] ?? 0) + 1) % GENERATIONS
    this.#left.push(place)
    return true
  }

  /** The events of this turn are all told: places that became free in it may be used again. */
  endTurn(): void {
    for (let place = this.#left.pop(); place !== undefined; place = this.#left.pop()) this.#free.push(place)
  }
}
