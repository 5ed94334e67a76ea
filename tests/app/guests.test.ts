// The guests page and a guest's console, in the unmodified build on the stand-in.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { BulkheadError } from '../../core/errors.ts'
import { demoFacts, demoHost, exitRecord, guestSummary, imageDetails } from './support/demo-host.ts'
import { ScriptedHost } from './support/scripted-host.ts'
import { type StartedApp, startApp, terminalSays, terminalText } from './support/start-app.ts'

describe('a host with guests', () => {
  const host = demoHost()
  let started: StartedApp
  beforeAll(async () => {
    started = await startApp(host)
  })
  afterAll(() => started[Symbol.asyncDispose]())

  it('lists them with the state as shape and word', async () => {
    const { page } = started
    const row = (name: string) => page.getByRole('button', { name: new RegExp(`^\\S.*${name}`) }).first()
    await row('web').waitFor()
    for (const [name, word] of [
      ['web', 'Running'],
      ['cache', 'Paused'],
      ['worker-1', 'Starting'],
      ['batch', 'Exited with 0'],
      ['import-2026', 'Exited with 7'],
      ['old-kernel', 'Crashed'],
      ['spare', 'Created'],
    ] as const)
      expect(await row(name).textContent()).toContain(word)
  })

  it('shows a console with what was written before it was opened', async () => {
    const { page } = started
    await page.getByRole('button', { name: /web/ }).first().click()
    await terminalSays(page, 'MemTotal:         478332 kB')
  })

  it('sends keys and the size of the terminal', async () => {
    const { page } = started
    const { stdio } = host.find('web')
    await page.keyboard.type('echo hello')
    await page.keyboard.press('Enter')
    await terminalSays(page, 'echo hello')
    expect(stdio.typed).toBe('echo hello\r')
    expect(stdio.size?.columns).toBeGreaterThan(80)
    const { columns = 0 } = stdio.size ?? {}
    await page.setViewportSize({ width: 1100, height: 700 })
    await expect.poll(() => stdio.size?.columns).toBeLessThan(columns)
    await page.setViewportSize({ width: 1280, height: 800 })
  })

  it('keeps the console while another page is shown, without opening its stream again', async () => {
    const { page } = started
    const opened = () => host.calls.filter(({ method }) => method === 'streams.open').length
    const before = opened()
    await page.getByRole('button', { name: 'Host', exact: false }).click()
    host.find('web').stdio.write('written meanwhile\r\n')
    await page.getByRole('button', { name: 'Guests', exact: false }).click()
    await terminalSays(page, 'written meanwhile')
    expect(opened()).toBe(before)
  })

  it('shows the boot log apart', async () => {
    const { page } = started
    await page.getByRole('tab', { name: 'Boot log' }).click()
    await terminalSays(page, 'guest-init: ready')
    expect(await terminalText(page)).not.toContain('BusyBox')
    await page.getByRole('tab', { name: 'Console' }).click()
    await terminalSays(page, 'BusyBox')
  })

  it('attaches again after the core host died, without showing anything twice', async () => {
    const { page } = started
    const isNoticed = page.getByText('The connection is lost').waitFor()
    host.wire.cut()
    await isNoticed
    await page.getByText('Connected', { exact: true }).waitFor()
    host.find('web').stdio.write('after the cut\r\n')
    await terminalSays(page, 'after the cut')
    const shown = await terminalText(page)
    expect(shown.split('MemTotal').length).toBe(3)
  })

  it('pauses and resumes; the button follows the state', async () => {
    const { page } = started
    await page.getByRole('button', { name: 'Pause', exact: true }).click()
    await page.getByRole('button', { name: 'Resume' }).click()
    await page.getByRole('button', { name: 'Pause', exact: true }).waitFor()
    expect(host.calls.map(({ method }) => method)).toEqual(
      expect.arrayContaining(['guests.pause', 'guests.unpause']),
    )
  })

  it('asks before it kills, and names the guest', async () => {
    const { page } = started
    await page.getByRole('button', { name: 'More actions' }).click()
    await page.getByRole('menuitem', { name: 'Kill' }).click()
    const dialog = page.getByRole('dialog')
    expect(await dialog.textContent()).toContain('Kill guest “web”?')
    await dialog.getByRole('button', { name: 'Cancel' }).click()
    expect(host.find('web').summary.state).toBe('running')
    await page.getByRole('button', { name: 'More actions' }).click()
    const reason = page.getByRole('menuitem', { name: 'Delete' })
    expect(await reason.getAttribute('title')).toBe('It is running: stop it first')
    await page.getByRole('menuitem', { name: 'Kill' }).click()
    await dialog.getByRole('button', { name: 'Kill' }).click()
    await page.getByText('The guest was killed').waitFor()
  })

  it('says what went wrong in an action, with the hint and a way to copy it', async () => {
    const { page } = started
    host.failures.set(
      'guests.start',
      new BulkheadError('guest.no-memory', 'Cannot start guest "web": Xen has 312 MiB free, 512 MiB needed', {
        hint: 'Stop another guest first.',
      }),
    )
    await page.getByRole('button', { name: 'Start', exact: true }).click()
    const notice = page.getByRole('alert')
    await notice.waitFor()
    expect(await notice.textContent()).toContain('Xen has 312 MiB free, 512 MiB needed')
    expect(await notice.textContent()).toContain('Stop another guest first.')
    await notice.getByRole('button', { name: 'Copy details' }).click()
    expect(await page.evaluate(() => navigator.clipboard.readText())).toContain('guest.no-memory')
    await notice.getByRole('button', { name: 'Dismiss' }).click()
    host.failures.clear()
  })

  it('draws a line when a guest is started again and goes on below it', async () => {
    const { page } = started
    const { stdio, summary } = host.find('web')
    stdio.begin()
    await page.getByRole('button', { name: 'Start', exact: true }).click()
    await expect.poll(() => host.find('web').summary.startedAt).not.toBe(summary.startedAt)
    stdio.write('second life\r\n')
    await terminalSays(page, 'second life')
    expect(await terminalText(page)).toContain('— started again —')
  })

  it('marks what was skipped', async () => {
    const { page } = started
    host.addGuest(guestSummary('chatty', { createdAt: new Date().toISOString() }))
    const { stdio } = host.find('chatty')
    stdio.write('early\r\n')
    await page
      .getByRole('button', { name: /chatty/ })
      .first()
      .click()
    await terminalSays(page, 'early')
    stdio.skip(3_250_000)
    stdio.write('late\r\n')
    await terminalSays(page, '… 3.1 MiB skipped')
    await terminalSays(page, 'late')
  })

  it('walks the list with the arrow keys', async () => {
    const { page } = started
    await page
      .getByRole('button', { name: /chatty/ })
      .first()
      .focus()
    await page.keyboard.press('ArrowDown')
    const focused = () => page.evaluate(() => document.activeElement?.textContent)
    expect(await focused()).not.toContain('chatty')
    await page.keyboard.press('ArrowUp')
    expect(await focused()).toContain('chatty')
  })
})

describe('launching', () => {
  const host = new ScriptedHost(demoFacts)
  let started: StartedApp
  beforeAll(async () => {
    started = await startApp(host)
  })
  afterAll(() => started[Symbol.asyncDispose]())

  it('says what would be here while there are no guests', async () => {
    await started.page.getByText('No guests yet').waitFor()
  })

  it('prefills the form from the image and shows the same as a command', async () => {
    const { page } = started
    const run = imageDetails('docker.io/library/web:1').run
    const image = imageDetails('docker.io/library/web:1', {
      run: { ...run, command: ['serve', '--port', '80'], env: ['PATH=/bin', 'MODE=fast'] },
    })
    host.images.set(image.reference, image)
    const { configDigest: _1, architecture: _2, os: _3, layers: _4, history: _5, run: _6, ...summary } = image
    host.notify({ type: 'image', image: summary })
    await page.getByRole('button', { name: 'Launch' }).first().click()
    const command = page.getByLabel('Command', { exact: true })
    await expect.poll(() => command.inputValue()).toBe('serve --port 80')
    expect(await page.getByLabel('Value').nth(1).inputValue()).toBe('fast')
    await page.getByLabel('Name', { exact: true }).first().fill('front')
    await page.getByLabel('Value').nth(1).fill('slow and safe')
    await page
      .getByText("bulkhead run -it --name front -e 'MODE=slow and safe' web:1", { exact: true })
      .waitFor()
  })

  it('says what is wrong with a field and launches nothing', async () => {
    const { page } = started
    await page.getByLabel('Memory (MiB)').fill('12')
    await page.getByText('From 64 to 1048576 MiB').waitFor()
    await page.locator('form').getByRole('button', { name: 'Launch' }).click()
    expect(host.guests.size).toBe(0)
    await page.getByLabel('Memory (MiB)').fill('256')
  })

  it('creates, opens the console, then starts: not a byte is lost', async () => {
    const { page } = started
    await page.locator('form').getByRole('button', { name: 'Launch' }).click()
    await page.getByRole('heading', { name: 'front' }).waitFor()
    host.find('front').stdio.write('hello from the first moment\r\n')
    await terminalSays(page, 'hello from the first moment')
    const { params } = host.calls.find(({ method }) => method === 'guests.create') ?? {}
    expect(params).toMatchObject({
      image: 'docker.io/library/web:1',
      name: 'front',
      memoryMiB: 256,
      process: { env: ['MODE=slow and safe'], terminal: true, stdin: true },
    })
    await expect.poll(() => host.find('front').summary.state).toBe('running')
  })

  it('shows how the program ended', async () => {
    const { page } = started
    const { id } = host.find('front').summary
    host.exitGuest(id, exitRecord({ code: 3, message: 'The program ended with status 3' }))
    await page.getByText('The program ended with status 3').waitFor()
    await page.getByText('Exited with 3').first().waitFor()
  })
})
