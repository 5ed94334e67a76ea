// `npm start`: from a fresh clone to a guest that runs, in one command. The second half is build/start.ts.
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
  return await runUnderNode24('build/start.ts', process.argv.slice(2))
})
