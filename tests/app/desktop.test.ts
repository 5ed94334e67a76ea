// What the app does with the desktop: tray, menus, dialogs, themes, one instance, quitting.
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { temporaryFolder } from '../../lab/temporary-folder.fixture.ts'
import { AppDriver } from './support/app-driver.ts'
import { demoFacts, demoHost, guestSummary } from './support/demo-host.ts'
import { ScriptedHost } from './support/scripted-host.ts'
import { type StartedApp, startApp } from './support/start-app.ts'

interface MenuItem {
  readonly label: string
  readonly type: string
  readonly enabled: boolean
  readonly submenu?: readonly MenuItem[]
}
interface TrayView {
  readonly menu: readonly MenuItem[]
  readonly image: string
}

let started: StartedApp | undefined
afterEach(async () => {
  await started?.[Symbol.asyncDispose]()
  started = undefined
})

async function begin(host: ScriptedHost): Promise<StartedApp> {
  started = await startApp(host)
  await started.page.getByText('Connected', { exact: true }).waitFor()
  return started
}

const trayLabels = async (app: AppDriver) => {
  const [tray] = await app.control<TrayView[]>('tray.view')
  return tray?.menu.map(({ label, type }) => (type === 'separator' ? '—' : label)) ?? []
}

describe('the tray', () => {
  it('has Open first, running guests with Stop, and Quit last, and follows the guests', async () => {
    const host = demoHost()
    const { app, page } = await begin(host)
    await expect
      .poll(() => trayLabels(app))
      .toEqual(['Open Bulkhead', '—', 'cache (Paused)', 'db', 'web', 'worker-1 (Starting)', '—', 'Quit'])
    await app.control('tray.click', { path: ['db', 'Stop'] })
    await expect.poll(() => trayLabels(app)).not.toContain('db')
    expect(host.calls).toContainEqual({
      method: 'guests.stop',
      params: expect.objectContaining({ guest: host.find('db').summary.id }),
    })
    await app.control('tray.click', { path: ['web', 'Open console'] })
    await page.getByRole('heading', { name: 'web' }).waitFor()
  })
})

describe('the menu', () => {
  it('leads to the launch form; what needs a host is off without one', async () => {
    const host = demoHost()
    const { app, page } = await begin(host)
    await app.control('menu.click', { path: ['Guest', 'Launch…'] })
    await page.getByRole('heading', { name: 'Launch a guest' }).waitFor()
    host.wire.cut()
    const isLaunchOn = async () => {
      const [guest] = await app.control<MenuItem[]>('menu.view')
      return guest?.submenu?.find(({ label }) => label === 'Launch…')?.enabled
    }
    await expect.poll(isLaunchOn).toBe(false)
    await expect.poll(isLaunchOn).toBe(true)
  })
})

describe('quitting', () => {
  const answer = (response: number, checkboxChecked = false) => ({ answer: { response, checkboxChecked } })

  it('goes without a question while no guest runs', async () => {
    const { app } = await begin(new ScriptedHost(demoFacts))
    await app.control('app.quit').catch(() => undefined)
    expect(await app.ended()).toBe(0)
  })

  it('asks about running guests, and stays when it is cancelled', async () => {
    const { app, page } = await begin(demoHost())
    const quit = app.control('app.quit')
    const { options } = (await app.report('dialog')) as { options: { message: string; buttons: string[] } }
    expect(options.message).toBe('4 guests are running. Keep running?')
    expect(options.buttons).toEqual(['Keep running', 'Stop guests', 'Cancel'])
    await quit
    await app.control('dialog.answer', answer(2))
    await page.getByRole('button', { name: 'Settings' }).click()
    await page.getByRole('heading', { name: 'Settings' }).waitFor()
  })

  it('keeps guests running', async () => {
    const host = demoHost()
    const { app } = await begin(host)
    await app.control('dialog.answer', answer(0))
    await app.control('app.quit').catch(() => undefined)
    expect(await app.ended()).toBe(0)
    expect(host.calls.some(({ method }) => method === 'guests.stop')).toBe(false)
  })

  it('stops them all, from the tray’s Quit too', async () => {
    const host = new ScriptedHost(demoFacts)
    host.addGuest(guestSummary('one'))
    host.addGuest(guestSummary('two'))
    const { app } = await begin(host)
    await expect.poll(() => trayLabels(app)).toContain('two')
    await app.control('dialog.answer', answer(1))
    await app.control('tray.click', { path: ['Quit'] }).catch(() => undefined)
    expect(await app.ended()).toBe(0)
    expect(host.calls.filter(({ method }) => method === 'guests.stop').length).toBe(2)
  })

  it('closing the last window without a tray on the desktop ends the app and stops nothing', async () => {
    const host = demoHost()
    const { app } = await begin(host)
    await app.control('windows.close').catch(() => undefined)
    expect(await app.ended()).toBe(0)
    expect(host.calls.some(({ method }) => method === 'guests.stop')).toBe(false)
  })
})

describe('themes', () => {
  it('follows the desktop, and the person’s choice over it', async () => {
    const { app, page } = await begin(demoHost())
    const isDark = () => page.evaluate(() => matchMedia('(prefers-color-scheme: dark)').matches)
    expect(await isDark()).toBe(false)
    await app.control('theme.system', { dark: true })
    await expect.poll(isDark).toBe(true)
    await page.getByRole('button', { name: 'Settings' }).click()
    await page.getByLabel('Theme').selectOption('Light')
    await expect.poll(isDark).toBe(false)
  })
})

describe('one instance', () => {
  it('shows its window when it is started once more', async () => {
    const { app } = await begin(demoHost())
    await app.control('app.second-instance', { argv: ['bulkhead'] })
    const [window] = await app.control<{ isVisible: boolean }[]>('windows')
    expect(window?.isVisible).toBe(true)
  })
})

describe('without a host', () => {
  it('says why and what can be done, and connects as soon as there is one', async () => {
    const host = demoHost()
    let isThere = false
    const app = await AppDriver.start({
      resolveTarget: async () => ({
        kind: 'socket',
        socketPath: isThere ? host.path : '/nowhere/core.sock',
        label: 'the scripted host',
      }),
    })
    await using _app = app
    const page = await app.page()
    await page.getByRole('heading', { name: 'No connection' }).waitFor()
    await page.getByText('Cannot reach the core host').waitFor()
    await page.getByText(/Trying again in \d+ second/).waitFor()
    await host.listen(join(temporaryFolder('late'), 'core.sock'))
    isThere = true
    await page.getByRole('button', { name: 'Try now' }).click()
    await page.getByText('Connected', { exact: true }).waitFor()
    await host[Symbol.asyncDispose]()
  })
})
