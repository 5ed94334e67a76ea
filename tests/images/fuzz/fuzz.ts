// Runs a parser on damaged inputs: it may refuse them, in the way that it is meant to, and soon.

import { OciError } from '../../../core/oci/errors.ts'
import { randomNumbers } from '../support/random-numbers.ts'
import { mutate } from './mutate.ts'

export interface FuzzTarget {
  readonly name: string
  /** Inputs that the parser takes. */
  readonly corpus: readonly Buffer[]
  /** How many times as many rounds as others it gets: what is slow gets fewer. */
  readonly share?: number
  /** Makes damaged input pass a check that else would refuse nearly all of it; done to half of the inputs. */
  repair?(input: Buffer): Buffer
  /** Parses; throws or rejects only with what `mayRefuseWith` allows. */
  run(input: Buffer): unknown
  /** `OciError` with any code but `oci.internal` if left out. */
  mayRefuseWith?(error: unknown): boolean
}

/** No input of ours takes a parser longer, on a machine that has other things to do. */
const INPUT_MS_LIMIT = 3000

/** Feeds a target. Rejects with seed, round and input where it fails in any other way than by refusing. */
export async function fuzz(target: FuzzTarget, seed: number, rounds: number): Promise<void> {
  const { corpus, share = 1, mayRefuseWith = isRefusal } = target
  // They are good to begin with.
  for (const input of corpus) await target.run(Buffer.from(input))
  for (let round = 0; round < rounds * share; round++) {
    const damaged = mutate(randomNumbers(seed + round * 7919), corpus)
    const input = round % 2 === 0 ? damaged : (target.repair?.(damaged) ?? damaged)
    const described = `seed ${seed}, round ${round}, input ${input.toString('base64').slice(0, 4000)}`
    const began = performance.now()
    try {
      await target.run(Buffer.from(input))
    } catch (error) {
      if (!mayRefuseWith(error)) throw new Error(`${target.name} fails: ${described}`, { cause: error })
    }
    const tookMs = performance.now() - began
    if (tookMs > INPUT_MS_LIMIT)
      throw new Error(`${target.name} takes ${Math.round(tookMs)} ms: ${described}`)
  }
}

function isRefusal(error: unknown): boolean {
  return error instanceof OciError && error.code !== 'oci.internal'
}
