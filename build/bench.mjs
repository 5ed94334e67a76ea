// `npm run bench -- NAME`: figures beside a peer's, from bench/.
import { setUpAndRun } from './setup.mjs'

await setUpAndRun('bench/run.ts')
