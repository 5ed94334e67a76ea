// `npm run bench -- NAME`: figures beside a peer's, from bench/.
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
  return await runUnderNode24('bench/run.ts', process.argv.slice(2))
})
