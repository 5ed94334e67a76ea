// Consoles and control channels against a guest on real Xen: nothing is lost, whoever dies; a guest that breaks the rules
// is let go of; the hypervisor has the domain gone when we are.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Lab, startLab } from '../../lab/fixture.ts'
import type { RunningGuest } from './programs/ring-guest.ts'
import { installPrograms } from './support/dom0-program.ts'

const FOLDER = '/root/rings'
const UUID = '00000000-0000-4000-8000-00000000c001'

let lab: Lab
let guest: RunningGuest

beforeAll(async () => {
  lab = await startLab({ runsCore: false })
  await installPrograms(lab, FOLDER, {
    rings: 'tests/lab/programs/rings.ts',
    'build-worker': 'core/xen/build/build-worker.ts',
    'ring-worker': 'core/xen/ring/ring-worker.ts',
  })
  await lab.putFile(`${FOLDER}/ring-guest`, compileGuest(), 0o755)
  guest = await play('boot', {
    uuid: UUID,
    kernelPath: '/usr/share/bulkhead/kernel/vmlinux',
    guestPath: `${FOLDER}/ring-guest`,
    cacheFolder: `${FOLDER}/kernels`,
  })
})
afterAll(async () => {
  await lab?.close()
})

/** The guest, on guest-init's own side of the ring. */
function compileGuest(): Buffer {
  const sources = join(import.meta.dirname, '../../guest-init/src')
  const parts = ['ring', 'frame', 'platform-xen', 'xenstore', 'log', 'file', 'failure']
  const folder = mkdtempSync(join(tmpdir(), 'ring-guest-'))
  try {
    execFileSync('musl-gcc', [
      ...['-std=c11', '-D_GNU_SOURCE', '-Os', '-Wall', '-Wextra', '-Werror', '-static', '-s'],
      ...['-I', sources, '-o', join(folder, 'guest')],
      join(import.meta.dirname, 'guests/ring-guest.c'),
      ...parts.map((name) => join(sources, `${name}.c`)),
    ])
    return readFileSync(join(folder, 'guest'))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function run(scenario: string, settings: object) {
  return lab.exec(['node', `${FOLDER}/rings.js`, scenario, JSON.stringify({ ...guest, ...settings })])
}

async function play<Result>(scenario: string, settings: object = {}): Promise<Result> {
  const { stdout, stderr, code } = await run(scenario, settings)
  expect(stderr).toBe('')
  expect(code).toBe(0)
  return JSON.parse(stdout) as Result
}

describe('a control channel', () => {
  test('carries frames there and back unchanged', async () => {
    expect(await play('echo', { count: 200 })).toMatchObject({ wrong: 0 })
  })

  test('carries megabytes from the guest without a gap', async () => {
    const bytes = 8 << 20
    expect(await play('from-guest', { bytes, frameBytes: 16376 })).toMatchObject({ bytes, gaps: 0 })
  })

  test('carries megabytes to the guest, waiting when its ring is full', async () => {
    const bytes = 4 << 20
    const result = await play<{ waits: number }>('to-guest', { bytes, frameBytes: 8192 })
    expect(result).toMatchObject({ bytes, isSumRight: true })
    expect(result.waits).toBeGreaterThan(0)
  })

  test('goes on without a gap after its reader was killed in the middle', async () => {
    const { code } = await run('die-while-reading', { bytes: 4 << 20, frameBytes: 4096 })
    expect(code).toBe(128 + 9)
    const rest = await play<{ bytes: number }>('go-on-reading')
    expect(rest).toMatchObject({ gaps: 0, end: 'end' })
    expect(rest.bytes).toBeGreaterThan(0)
  })

  test.each([
    ['prod', /claims 262152 bytes in a ring of 262144/],
    ['cons', /claims \d+ bytes in a ring of 65536/],
    ['length', /a frame of 16385 bytes/],
    ['cut', /inside its payload/],
    ['flags', /unknown flags 0x1/],
  ])('is closed when the guest breaks the rule of "%s", and can be had again', async (evil, message) => {
    const result = await play('evil', { evil })
    expect(result).toEqual({
      code: 'xen.guest-protocol',
      message: expect.stringMatching(message),
      isSent: false,
      answer: 'again',
    })
  })

  test('cannot be had with references or ports that the guest did not give, nor twice', async () => {
    expect(await play('bad-announcement')).toEqual({
      codes: ['xen.attach-failed', expect.stringMatching(/^xen\./), 'xen.attach-failed', 'xen.attach-failed'],
      answer: 'still here',
    })
  })

  test('does not keep a process from exiting', async () => {
    expect((await run('exit', {})).code).toBe(3)
  })

  test('wakes dom0 a bounded number of times in a storm of events', async () => {
    const result = await play<{ wakes: number; durationMs: number }>('storm', { count: 50_000 })
    expect(result).toMatchObject({ answer: 'over' })
    // At most 21 events that bring nothing in 10 ms, each waking two threads; and the start and the end.
    expect(result.wakes).toBeLessThan(result.durationMs * 4.2 + 500)
    expect(result.wakes).toBeLessThan(25_000)
  })

  test('gives the last words of a guest that powers off, and the domain is gone once it is let go of', async () => {
    expect(await play('power-off')).toEqual({ last: 'last words', reason: 'poweroff', whileMapped: true })
    expect(await play('remove')).toEqual({})
    expect((await lab.exec('xl list')).stdout).not.toContain('ring-')
    expect((await lab.exec('xenstore-ls /bulkhead')).stdout).toBe('')
  })
})
