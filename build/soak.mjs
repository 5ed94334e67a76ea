// `npm run soak`: what takes too long for every `npm test`.
import { setUpAndRun } from './setup.mjs'

await setUpAndRun('build/soak.ts')
