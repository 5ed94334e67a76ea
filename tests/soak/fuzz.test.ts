// Damaged inputs for every parser of foreign bytes, many of them and always others. BULKHEAD_FUZZ_ROUNDS says how many
// (20 000 if it does not), BULKHEAD_FUZZ_SEED brings a run back.

import { test } from 'vitest'
import { binaryTargets } from '../images/fuzz/binary-targets.ts'
import { fuzz } from '../images/fuzz/fuzz.ts'
import { textTargets } from '../images/fuzz/text-targets.ts'

const rounds = Number(process.env.BULKHEAD_FUZZ_ROUNDS ?? 20_000)
const seed = Number(process.env.BULKHEAD_FUZZ_SEED ?? Date.now() % 2 ** 31)

test.each([...textTargets, ...binaryTargets].map((target) => [target.name, target] as const))(
  `%s: ${rounds} damaged inputs are refused, or read (seed ${seed})`,
  { timeout: 3_600_000 },
  async (_, target) => {
    await fuzz(target, seed, rounds)
  },
)
