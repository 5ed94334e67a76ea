// Runs the suites one after the other, says how long each took against its share of CI's minutes, and ends with
// `N passed, N failed`.
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { compile } from './compile.ts'

const root = join(import.meta.dirname, '..')
const bin = (name: string) => join(root, 'node_modules/.bin', name)

interface Outcome {
  readonly passed: number
  readonly failed: number
}

interface Suite {
  readonly name: string
  /** Its share of the 40 minutes of `.ci/run`. */
  readonly shareMinutes: number
  run(): Promise<Outcome>
}

const checks: readonly (readonly [string, readonly string[]])[] = [
  ['format and lint', [bin('biome'), 'ci', '--error-on-warnings', '.']],
  ['types', [bin('tsc'), '--noEmit', '-p', 'tsconfig.json']],
  ["types of the app's tests", [bin('tsc'), '--noEmit', '-p', 'tests/app/tsconfig.json']],
  ['types of the renderer', [bin('vue-tsc'), '--noEmit', '-p', 'tsconfig.renderer.json']],
  ['direction of imports', [bin('depcruise'), '--output-type', 'err', 'core', 'lab', 'app']],
]

const suites: readonly Suite[] = [
  { name: 'static', shareMinutes: 2, run: runChecks },
  { name: 'unit', shareMinutes: 3, run: () => runVitest('unit') },
  { name: 'images', shareMinutes: 5, run: () => runVitest('images') },
  { name: 'network', shareMinutes: 6, run: () => runVitest('network') },
  { name: 'lab', shareMinutes: 11, run: () => runVitest('lab') },
  { name: 'app', shareMinutes: 7, run: () => runVitest('app') },
]

const { values, positionals } = parseArgs({
  options: { 'setup-ms': { type: 'string', default: '0' } },
  allowPositionals: true,
})
const unknown = positionals.filter((name) => !suites.some((suite) => suite.name === name))
if (unknown.length > 0) {
  process.stderr.write(
    `There is no suite "${unknown[0]}". Suites: ${suites.map(({ name }) => name).join(', ')}\n`,
  )
  process.exit(2)
}

const table: string[] = []
let passed = 0
let failed = 0
const note = (name: string, ms: number, shareMinutes: number, outcome?: Outcome) => {
  const minutes = ms / 60_000
  const counts = outcome === undefined ? '' : `  ${outcome.passed} passed, ${outcome.failed} failed`
  table.push(
    `${name.padEnd(8)} ${minutes.toFixed(1).padStart(5)} min of ${shareMinutes}${counts}${minutes > shareMinutes ? '  over its share' : ''}`,
  )
}

const compileBegan = performance.now()
await compile((line) => process.stderr.write(`${line}\n`))
note('set-up', Number(values['setup-ms']) + performance.now() - compileBegan, 6)
for (const suite of suites) {
  if (positionals.length > 0 && !positionals.includes(suite.name)) continue
  process.stdout.write(`\n── ${suite.name} ──\n`)
  const began = performance.now()
  const outcome = await suite.run()
  note(suite.name, performance.now() - began, suite.shareMinutes, outcome)
  passed += outcome.passed
  failed += outcome.failed
}
process.stdout.write(`\n${table.join('\n')}\n\n${passed} passed, ${failed} failed\n`)
process.exit(failed > 0 ? 1 : 0)

async function runChecks(): Promise<Outcome> {
  let failures = 0
  for (const [title, [program = '', ...args]] of checks) {
    const status = await run(program, args)
    process.stdout.write(`${status === 0 ? '✓' : '✗'} ${title}\n`)
    if (status !== 0) failures++
  }
  return { passed: checks.length - failures, failed: failures }
}

async function runVitest(project: string): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'bulkhead-test-'))
  const report = join(folder, 'report.json')
  try {
    const status = await run(bin('vitest'), [
      'run',
      '--project',
      project,
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${report}`,
    ])
    return outcomeOf(report, status)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** A run that failed without a failed test (a file that does not load, an error nobody caught) counts as one. */
function outcomeOf(report: string, status: number): Outcome {
  let counts = { numPassedTests: 0, numFailedTests: 0 }
  try {
    counts = JSON.parse(readFileSync(report, 'utf8'))
  } catch {
    // Vitest did not come as far as its report: its status tells.
  }
  const failedTests = status !== 0 && counts.numFailedTests === 0 ? 1 : counts.numFailedTests
  const nothingRan = status === 0 && counts.numPassedTests === 0
  return { passed: counts.numPassedTests, failed: nothingRan ? 1 : failedTests }
}

function run(program: string, args: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
    child.once('error', reject)
    child.once('exit', (code) => resolve(code ?? 1))
  })
}
