// Run as a program of its own: `node strip-types.ts FILE…` prints the files as JSON, without their types.
// Node in dom0 then has nothing to strip, which under emulation takes seconds.

import { readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'

const sources = process.argv.slice(2).map((path) => stripTypeScriptTypes(readFileSync(path, 'utf8')))
process.stdout.write(JSON.stringify(sources))
