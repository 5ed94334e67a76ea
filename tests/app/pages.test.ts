// Every page in both themes and in the smallest and the usual window: nothing runs out of it, and axe-core finds no
// fault. With BULKHEAD_PICTURES=FOLDER the pictures are kept for a person to look at.
import { mkdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { AxeResults } from 'axe-core'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { BulkheadError } from '../../core/errors.ts'
import { AppDriver } from './support/app-driver.ts'
import { demoFacts, demoHost, exitRecord, guestSummary } from './support/demo-host.ts'
import { ScriptedHost } from './support/scripted-host.ts'
import { type StartedApp, startApp, terminalSays } from './support/start-app.ts'

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const pictures = process.env.BULKHEAD_PICTURES
const environment = { FONTCONFIG_FILE: join(import.meta.dirname, 'support/fonts.conf') }
const sizes = [
  { width: 900, height: 600 },
  { width: 1280, height: 800 },
  { width: 1920, height: 1080 },
]

async function faults(page: Page): Promise<string[]> {
  // Half-way from one theme to the other a colour is neither's.
  await page.evaluate(async () => {
    const transitions = document.getAnimations().filter((animation) => animation instanceof CSSTransition)
    await Promise.allSettled(transitions.map(({ finished }) => finished))
  })
  await page.evaluate(axeSource)
  const results = await page.evaluate(() => {
    const { axe } = window as unknown as {
      axe: { run: (what: object, options: object) => Promise<AxeResults> }
    }
    // xterm's own rows are drawn for the eye; it has a mode of its own for screen readers.
    return axe.run({ exclude: ['.xterm'] }, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'best-practice'] })
  })
  return results.violations.map(
    ({ id, nodes }) =>
      `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join(' · ')}`,
  )
}

async function lookAt(started: Pick<StartedApp, 'page' | 'app'>, name: string): Promise<void> {
  const { page, app } = started
  for (const theme of ['light', 'dark'] as const) {
    await app.control('theme.system', { dark: theme === 'dark' })
    await page.waitForFunction(
      (dark) => matchMedia('(prefers-color-scheme: dark)').matches === dark,
      theme === 'dark',
    )
    for (const size of sizes) {
      await page.setViewportSize(size)
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
      expect(overflow, `${name} is wider than a window of ${size.width}`).toBeLessThanOrEqual(0)
      if (pictures === undefined) continue
      mkdirSync(pictures, { recursive: true })
      await page.screenshot({
        path: join(pictures, `${name}-${theme}-${size.width}.png`),
        animations: 'disabled',
      })
    }
    expect(await faults(page), `${name}, ${theme}`).toEqual([])
  }
  await page.setViewportSize({ width: 1280, height: 800 })
}

describe('a host with guests', () => {
  let started: StartedApp
  beforeAll(async () => {
    started = await startApp(demoHost(), { environment })
    await started.page.getByText('Connected', { exact: true }).waitFor()
  })
  afterAll(() => started[Symbol.asyncDispose]())

  it('guests and a console', async () => {
    await started.page.getByRole('button', { name: /web/ }).first().click()
    await terminalSays(started.page, 'MemTotal')
    await lookAt(started, 'guest')
  })
  it('a guest’s details', async () => {
    await started.page.getByRole('tab', { name: 'Details' }).click()
    await started.page.getByText('Launch steps').waitFor()
    await lookAt(started, 'details')
    await started.page.getByRole('tab', { name: 'Console' }).click()
  })
  it('a guest that crashed', async () => {
    await started.page.getByRole('button', { name: /old-kernel/ }).click()
    await started.page.getByText('kernel panicked').waitFor()
    await lookAt(started, 'crashed')
  })
  it('the launch form', async () => {
    await started.page.getByRole('button', { name: 'Launch' }).first().click()
    await expect.poll(() => started.page.getByLabel('Command', { exact: true }).inputValue()).toBe('sh')
    await lookAt(started, 'launch')
    await started.page.getByLabel('Memory (MiB)').fill('1')
    await lookAt(started, 'launch-problem')
  })
  it('images', async () => {
    await started.page.getByRole('button', { name: 'Images' }).click()
    await started.page.getByRole('button', { name: /postgres/ }).click()
    await started.page.getByText('tar+gzip').waitFor()
    await lookAt(started, 'images')
  })
  it('the question where to pull from', async () => {
    await started.page.getByRole('button', { name: 'Pull', exact: true }).click()
    await started.page.getByRole('dialog').waitFor()
    await lookAt(started, 'pull')
    await started.page.keyboard.press('Escape')
  })
  it('jobs', async () => {
    await started.page.getByRole('button', { name: 'Show jobs' }).click()
    await started.page.getByText('Downloading').waitFor()
    await lookAt(started, 'jobs')
    await started.page.keyboard.press('Escape')
  })
  it('the host', async () => {
    await started.page.getByRole('button', { name: 'Host' }).click()
    await started.page.getByText('1 check did not pass').waitFor()
    await lookAt(started, 'host')
  })
  it('settings', async () => {
    await started.page.getByRole('button', { name: 'Settings' }).click()
    await lookAt(started, 'settings')
  })
})

describe('the ends of the scale', () => {
  it('no host', async () => {
    await using app = await AppDriver.start({
      resolveTarget: () =>
        Promise.reject(new BulkheadError('client.no-host', 'There is no Xen host to talk to')),
      environment,
    })
    const page = await app.page()
    await page.getByRole('heading', { name: 'No connection' }).waitFor()
    await lookAt({ app, page }, 'no-host')
  })

  it('nothing at all', async () => {
    await using started = await startApp(new ScriptedHost(demoFacts), { environment })
    await started.page.getByText('No guests yet').waitFor()
    await lookAt(started, 'no-guests')
    await started.page.getByRole('button', { name: 'Images' }).click()
    await started.page.getByText('No images yet').waitFor()
    await lookAt(started, 'no-images')
  })

  it('two hundred guests with the longest of names', async () => {
    const host = new ScriptedHost(demoFacts)
    const states = ['running', 'paused', 'exited', 'created'] as const
    for (let index = 0; index < 200; index += 1) {
      const state = states[index % states.length] ?? 'running'
      const name = `guest-${index}-`.padEnd(63, 'long')
      host.addGuest(
        guestSummary(name, {
          state,
          ...(state === 'exited' ? { exit: exitRecord({ code: index % 3 }) } : {}),
        }),
      )
    }
    await using started = await startApp(host, { environment })
    await started.page.getByRole('button', { name: /guest-0-long/ }).click()
    await started.page.locator('.xterm').waitFor()
    await lookAt(started, 'many-guests')
  })

  it('no connection, and lists that cannot be had', async () => {
    const host = demoHost()
    host.failures.set(
      'guests.list',
      new BulkheadError('host.internal', 'Cannot list guests: the state folder is not readable'),
    )
    await using started = await startApp(host, { environment })
    await started.page.getByText('the state folder is not readable').waitFor()
    await lookAt(started, 'list-failed')
    const isNoticed = started.page
      .getByRole('heading', { name: 'No connection' })
      .or(started.page.getByText('Not connected'))
      .first()
      .waitFor()
    await host[Symbol.asyncDispose]()
    await isNoticed
    await lookAt(started, 'disconnected')
  })
})
