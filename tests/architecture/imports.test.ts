// The rule of imports can fail: each kind of wrong import, in a tree made for it, is found by the configuration.
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const root = join(import.meta.dirname, '../..')

/** File, what it imports, and the rule that forbids it. */
const wrong: readonly (readonly [string, string, string])[] = [
  ['core/oci/pull.ts', 'core/xen/grant.ts', 'core-oci'],
  ['core/xen/grant.ts', 'core/runtime/launch.ts', 'core-xen'],
  ['core/sys/libc.ts', 'core/xen/grant.ts', 'core-sys-stands-alone'],
  ['core/api/names.ts', 'core/sys/libc.ts', 'core-api-stands-alone'],
  ['core/runtime/launch.ts', 'core/host/server.ts', 'core-runtime'],
  ['core/host/server.ts', 'app/cli/run.ts', 'core-does-not-know-the-app'],
  ['app/cli/run.ts', 'core/runtime/launch.ts', 'main-and-cli-use-the-client'],
  ['app/renderer/page.ts', 'core/client/client.ts', 'renderer-knows-the-api-only'],
  ['app/preload/bridge.ts', 'core/client/client.ts', 'preload-knows-the-api-only'],
  ['lab/up.ts', 'core/sys/libc.ts', 'lab-stands-alone'],
  ['core/client/client.ts', 'core/api/schemas/all.ts', 'schemas-stay-with-the-core-host'],
]

interface Violation {
  readonly from: string
  readonly to: string
  readonly rule: { readonly name: string }
}

let folder: string
let violations: readonly Violation[]

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'imports-'))
  const files = new Map<string, string>()
  for (const [from, to] of wrong) {
    const up = '../'.repeat(from.split('/').length - 1)
    files.set(
      from,
      `${files.get(from) ?? ''}import { value as value${files.size} } from '${up}${to}'\nexport const value = value${files.size}\n`,
    )
    if (!files.has(to)) files.set(to, '')
  }
  for (const [path, text] of files) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text === '' ? 'export const value = 1\n' : text)
  }
  writeFileSync(
    join(folder, 'tsconfig.json'),
    '{"compilerOptions":{"allowImportingTsExtensions":true,"noEmit":true}}',
  )
  const program = join(root, 'node_modules/.bin/depcruise')
  const args = [
    '--config',
    join(root, '.dependency-cruiser.cjs'),
    '--output-type',
    'json',
    'core',
    'lab',
    'app',
  ]
  const output = await new Promise<string>((resolve) => {
    execFile(program, args, { cwd: folder, maxBuffer: 2 ** 26 }, (_error, stdout) => resolve(stdout))
  })
  violations = JSON.parse(output).summary.violations
})
afterAll(() => rmSync(folder, { recursive: true }))

describe('the direction of imports', () => {
  it.each(wrong)('%s may not import %s (%s)', (from, to, rule) => {
    expect(
      violations
        .filter((violation) => violation.from === from && violation.to === to)
        .map(({ rule: { name } }) => name),
    ).toContain(rule)
  })
})
