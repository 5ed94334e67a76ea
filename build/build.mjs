// `npm run build`: compiles what has changed.
import {
  checkMachine,
  ensureNpmPackages,
  ensureSystemPackages,
  runMain,
  runUnderNode24,
  startPackages,
} from './setup.mjs'

await runMain(async () => {
  checkMachine()
  ensureSystemPackages(startPackages)
  ensureNpmPackages()
  return await runUnderNode24('build/compile.ts', process.argv.slice(2))
})
