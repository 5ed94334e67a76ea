// The small decisions of the main process: each a function of what is known.
import { expect, it } from 'vitest'
import { BulkheadError } from '../../core/errors.ts'
import { appMenu } from './app-menu.ts'
import { retryDelayMs } from './backoff.ts'
import { envelopeOf } from './envelope.ts'
import { closingLastWindowQuits, quitDecision, quitQuestion } from './quit-rule.ts'
import { startCoreCommand } from './start-core.ts'
import { waysOut } from './ways-out.ts'
import { smallestWindow, usableWindowState } from './window-state.ts'

it('quitDecision() asks only where guests run and nothing was decided for good', () => {
  expect(quitDecision('ask', 0)).toBe('keep')
  expect(quitDecision('stop', 0)).toBe('keep')
  expect(quitDecision('ask', 2)).toBe('ask')
  expect(quitDecision('keep', 2)).toBe('keep')
  expect(quitDecision('stop', 2)).toBe('stop')
})

it('quitQuestion() is safe to dismiss: Escape cancels, Return keeps', () => {
  const question = quitQuestion(1)
  expect(question.message).toBe('1 guest is running. Keep running?')
  expect(question.buttons[question.cancelId]).toBe('Cancel')
  expect(question.buttons[question.defaultId]).toBe('Keep running')
})

it('closingLastWindowQuits() where no tray could bring the window back', () => {
  expect(closingLastWindowQuits(false)).toBe(true)
  expect(closingLastWindowQuits(true)).toBe(false)
})

it('retryDelayMs() grows to 15 s and stays there', () => {
  expect([1, 2, 3, 4, 5, 6, 7, 100].map(retryDelayMs)).toEqual([
    500, 1000, 2000, 4000, 8000, 15000, 15000, 15000,
  ])
})

it('waysOut() offers to start what is not there, and always to try again', () => {
  expect(waysOut('client.no-host', 'none')).toEqual(['start-lab', 'retry'])
  expect(waysOut('client.no-socket', 'local')).toEqual(['start-core', 'retry'])
  expect(waysOut('client.not-running', 'lab')).toEqual(['start-lab', 'retry'])
  expect(waysOut('client.no-access', 'local')).toEqual(['retry'])
  expect(waysOut('client.wrong-protocol', 'local')).toEqual(['retry'])
  expect(waysOut('client.no-host', 'socket')).toEqual(['retry'])
})

it('startCoreCommand() asks polkit, unless the app is root’s', () => {
  const options = { nodePath: '/opt/node', coreHostPath: '/opt/core-host.js', socketPath: '/run/b/core.sock' }
  expect(startCoreCommand({ ...options, userId: 1000 })).toEqual({
    file: 'pkexec',
    args: ['/opt/node', '/opt/core-host.js', '--listen', '/run/b/core.sock'],
  })
  expect(startCoreCommand({ ...options, userId: 0 }).file).toBe('/opt/node')
})

it('envelopeOf() keeps what a person can read of a failure', async () => {
  expect(await envelopeOf(async () => 7)).toEqual({ ok: 7 })
  const known = new BulkheadError('guest.busy', 'Cannot stop', { hint: 'Wait', data: { guest: 'web' } })
  expect(await envelopeOf(() => Promise.reject(known))).toEqual({
    error: { code: 'guest.busy', message: 'Cannot stop', hint: 'Wait', data: { guest: 'web' } },
  })
  expect(await envelopeOf(() => Promise.reject(new TypeError('x is not a function')))).toEqual({
    error: { code: 'app.internal', message: 'x is not a function' },
  })
})

it('appMenu() leaves plain Ctrl to the program in the terminal', () => {
  const accelerators = appMenu({ isConnected: true })
    .flatMap((item) => (item === 'separator' ? [] : (item.items ?? [])))
    .flatMap((item) => (item === 'separator' || item.accelerator === undefined ? [] : [item.accelerator]))
  expect(accelerators.length).toBeGreaterThan(5)
  for (const accelerator of accelerators) expect(accelerator).toMatch(/Shift\+|^Alt\+\d$/)
})

const screens = [{ x: 0, y: 0, width: 1920, height: 1080 }]

it('usableWindowState() brings a window back where it was, if that can be seen', () => {
  const stored = { x: 100, y: 50, width: 1000, height: 700, isMaximized: true }
  expect(usableWindowState(stored, screens)).toEqual({
    bounds: { x: 100, y: 50, width: 1000, height: 700 },
    isMaximized: true,
  })
  expect(usableWindowState({ ...stored, x: 5000 }, screens).bounds).toEqual({ width: 1000, height: 700 })
  expect(usableWindowState({ ...stored, y: -400 }, screens).bounds).toEqual({ width: 1000, height: 700 })
  expect(usableWindowState({ width: 10, height: 10 }, screens).bounds).toEqual(smallestWindow)
  expect(usableWindowState({ width: 'wide' }, screens).bounds.width).toBeGreaterThan(1000)
})
