// `npm start`: from a fresh clone to a guest that runs, in one command. The second half is build/start.ts.
import { setUpAndRun } from './setup.mjs'

await setUpAndRun('build/start.ts')
