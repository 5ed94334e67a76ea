import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { lockStore } from './store-lock.ts'

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'bulkhead-lock-'))
})

afterEach(() => rm(folder, { recursive: true }))

/** A process that takes the lock, says so, and keeps it until it is killed. */
async function startOwner() {
  const module = new URL('./store-lock.ts', import.meta.url).href
  const program = `const { lockStore } = await import(${JSON.stringify(module)})
    globalThis.lock = lockStore(${JSON.stringify(folder)})
    process.stdout.write('locked')
    setInterval(() => {}, 1000)`
  const owner = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(owner.stdout, 'data')
  return owner
}

test('a store that another process owns cannot be opened; once it is killed it can', async () => {
  const owner = await startOwner()
  try {
    expect(() => lockStore(folder, 50)).toThrow(expect.objectContaining({ code: 'oci.in-use' }))
  } finally {
    owner.kill('SIGKILL')
    await once(owner, 'exit')
  }
  lockStore(folder, 50)[Symbol.dispose]()
})

test('a lock that was let go can be taken again', () => {
  lockStore(folder, 50)[Symbol.dispose]()
  lockStore(folder, 50)[Symbol.dispose]()
})
