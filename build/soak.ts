// Compiles, then runs the suite "soak".
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { compile } from './compile.ts'

const root = join(import.meta.dirname, '..')
await compile((line) => process.stderr.write(`${line}\n`))
const { status } = spawnSync(
  join(root, 'node_modules/.bin/vitest'),
  ['run', '--project', 'soak', ...process.argv.slice(2)],
  {
    cwd: root,
    stdio: 'inherit',
  },
)
process.exit(status ?? 1)
