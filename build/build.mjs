// `npm run build`: compiles what has changed.
import { setUpAndRun } from './setup.mjs'

await setUpAndRun('build/compile.ts')
