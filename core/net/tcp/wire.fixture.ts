// One direction of a wire that loses, doubles and reorders by chance that can be repeated.
import type { SeededRandom } from '../../seeded-random.fixture.ts'

/** A wire that takes everything for long enough is a dead one, and TCP gives up: not what is asked here. */
const MOST_LOST_IN_ROW = 4

export interface WireOdds {
  readonly loss: number
  readonly duplication: number
  readonly reordering: number
}

/** What is under way, and when it arrives. */
export class Wire<T> {
  readonly #random: SeededRandom
  readonly #odds: WireOdds
  #lostInRow = 0
  #underWay: { readonly item: T; readonly ticks: number }[] = []

  constructor(random: SeededRandom, odds: WireOdds) {
    this.#random = random
    this.#odds = odds
  }

  put(item: T, tick: number): void {
    if (this.#lostInRow < MOST_LOST_IN_ROW && this.#random.chance(this.#odds.loss)) {
      this.#lostInRow++
      return
    }
    this.#lostInRow = 0
    const copies = this.#random.chance(this.#odds.duplication) ? 2 : 1
    for (let copy = 0; copy < copies; copy++) {
      const late = this.#random.chance(this.#odds.reordering) ? Math.floor(this.#random.next() * 4) : 0
      this.#underWay.push({ item, ticks: tick + late })
    }
  }

  arrived(tick: number): T[] {
    const now = this.#underWay.filter(({ ticks }) => ticks <= tick)
    this.#underWay = this.#underWay.filter(({ ticks }) => ticks > tick)
    return now.map(({ item }) => item)
  }
}
