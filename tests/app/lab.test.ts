// The main job on real Xen, all of it through the app's window: import an image, launch a guest of it, type into its
// shell and read what it says, stop it, delete it. The picture of its console is docs/pictures/guest-console.png.
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { writeDemoImage } from '../../build/demo-image.ts'
import { type Lab, startLab } from '../../lab/fixture.ts'
import { AppDriver } from './support/app-driver.ts'
import { terminalSays } from './support/start-app.ts'

// A run of the tests leaves the checkout as it was; BULKHEAD_PICTURES=docs/pictures renews the README's picture.
const pictures = process.env.BULKHEAD_PICTURES ?? join(import.meta.dirname, '../../dist/pictures')
const folder = mkdtempSync(join(tmpdir(), 'bulkhead-app-lab-'))
/** QEMU emulates the processor: seconds are normal where a real machine takes tenths. */
const patienceMs = 120_000
let lab: Lab
let app: AppDriver
let page: Page

beforeAll(async () => {
  chmodSync(folder, 0o755)
  lab = await startLab()
  app = await AppDriver.start({
    resolveTarget: async () => ({ kind: 'lab', socketPath: lab.socketPath, label: 'the lab' }),
    environment: { FONTCONFIG_FILE: join(import.meta.dirname, 'support/fonts.conf') },
  })
  page = await app.page()
  page.setDefaultTimeout(patienceMs)
})
afterAll(async () => {
  await app?.[Symbol.asyncDispose]()
  await lab?.[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

/** Each step stands on the one before: after a failure nothing is worth waiting for. */
let hasFailed = false
beforeEach(({ onTestFailed }) => {
  if (hasFailed) throw new Error('A step before this one failed')
  onTestFailed(() => {
    hasFailed = true
  })
})

const domains = async () => (await lab.exec('xl list')).stdout

describe('the app on real Xen', () => {
  it('connects and tells what the host is', async () => {
    await page.getByText('Connected', { exact: true }).waitFor()
    await page.getByText('Built-in lab').waitFor()
    await page.getByRole('button', { name: 'Host' }).click()
    await page.getByText('Everything that guests need is here.').waitFor()
    await page.getByText('4.17', { exact: false }).first().waitFor()
  })

  it('imports an image from a file', async () => {
    const archive = join(folder, 'busybox.tar')
    await writeDemoImage(archive)
    chmodSync(archive, 0o644)
    await page.getByRole('button', { name: 'Images' }).click()
    await app.control('dialog.answer', { answer: { canceled: false, filePaths: [archive] } })
    await page.getByRole('button', { name: 'Import', exact: true }).click()
    await page.getByRole('button', { name: /localhost\/busybox/ }).waitFor()
  })

  it('launches a guest of it and shows its shell', async () => {
    await page.getByRole('button', { name: /localhost\/busybox/ }).click()
    await page.getByRole('main').getByRole('button', { name: 'Launch' }).click()
    await page.getByLabel('Name', { exact: true }).first().fill('demo')
    const command = page.getByLabel('Command', { exact: true })
    await expect.poll(() => command.inputValue(), { timeout: patienceMs }).toBe('sh')
    await command.fill('sh -l')
    await page.locator('form').getByRole('button', { name: 'Launch' }).click()
    await terminalSays(page, 'root@')
    expect(await domains()).toMatch(/^demo /m)
  })

  it('sends what is typed and shows what the guest answers', async () => {
    const type = async (line: string) => {
      await page.keyboard.type(line)
      await page.keyboard.press('Enter')
    }
    await page.locator('.xterm').click()
    await type('uname -sr; cat /sys/hypervisor/type')
    await terminalSays(page, '\nxen')
    await type('echo "I am process $$, with $(nproc) vCPU and $((40 + 2)) in mind"')
    await terminalSays(page, 'I am process 1, with 1 vCPU and 42 in mind')
    await type('grep -E "^(MemTotal|MemFree)" /proc/meminfo; df -h / | tail -1')
    await terminalSays(page, '% /\nroot@')
    await page.getByText('Running', { exact: true }).first().waitFor()
    mkdirSync(pictures, { recursive: true })
    await page.screenshot({ path: join(pictures, 'guest-console.png') })
  })

  it('shows what the kernel and guest-init said, or that they had nothing to say', async () => {
    await page.getByRole('tab', { name: 'Boot log' }).click()
    await page.locator('[data-state=live]').first().waitFor()
    await page.getByText('Nothing was said so far').or(page.getByText('guest-init')).first().waitFor()
    await page.getByRole('tab', { name: 'Console' }).click()
  })

  it('goes on after the core host was killed', async () => {
    const isNoticed = page.getByText('The connection is lost').waitFor()
    await lab.killCore()
    await isNoticed
    await lab.coreReady()
    await page.getByText('Connected', { exact: true }).waitFor()
    await page.locator('[data-state=live] .xterm').click()
    await page.keyboard.type('echo still $((40 + 3))')
    await page.keyboard.press('Enter')
    await terminalSays(page, 'still 43')
  })

  it('says how the guest ended, and leaves nothing of it behind', async () => {
    await page.keyboard.type('exit 7')
    await page.keyboard.press('Enter')
    await page.getByText('Exited with 7').first().waitFor()
    await expect.poll(domains, { timeout: patienceMs, interval: 500 }).not.toMatch(/^demo /m)
    await page.getByRole('main').getByRole('button', { name: 'Delete' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
    await page.getByText('No guests yet').waitFor()
  })
})
