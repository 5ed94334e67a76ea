// Damaged inputs for every parser of foreign bytes: a share of what `npm run soak` does, always the same inputs.

import { test } from 'vitest'
import { binaryTargets } from './fuzz/binary-targets.ts'
import { fuzz } from './fuzz/fuzz.ts'
import { textTargets } from './fuzz/text-targets.ts'

const ROUNDS = 3000
const SEED = 20_261_124

test.each([...textTargets, ...binaryTargets].map((target) => [target.name, target] as const))(
  '%s: damaged input is refused, or read',
  async (_, target) => {
    await fuzz(target, SEED, ROUNDS)
  },
)
