// Random numbers that come again with the same seed.

/** Whole numbers from 0 up to a limit, which is not reached. */
export type Random = (limit: number) => number

/** mulberry32: the same numbers for the same seed. */
export function randomNumbers(seed: number): Random {
  let state = seed
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit)
  }
}

export function pick<Value>(random: Random, values: readonly Value[]): Value {
  return values[random(values.length)] as Value
}
