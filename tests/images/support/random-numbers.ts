// Random numbers that come again with the same seed.
import { SeededRandom } from '../../../core/seeded-random.fixture.ts'

/** Whole numbers from 0 up to a limit, which is not reached. */
export type Random = (limit: number) => number

/** The same numbers for the same seed. */
export function randomNumbers(seed: number): Random {
  const random = new SeededRandom(seed)
  return (limit) => random.below(limit)
}

export function pick<Value>(random: Random, values: readonly Value[]): Value {
  return values[random(values.length)] as Value
}
