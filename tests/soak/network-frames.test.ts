// A million mutated frames: what tests/network/mutated-frames.test.ts does with a part of them. BULKHEAD_FUZZ_SEED says
// which million.
import { vi } from 'vitest'

vi.setConfig({ testTimeout: 900_000 })
process.env.BULKHEAD_FUZZ_FRAMES ??= '1000000'
await import('../network/mutated-frames.test.ts')
