// What no page may do, in the unmodified build: Electron's security checklist point by point (docs/tutorial/
// security.md), the IPC contract, and the bridge. docs/electron.md lists the source of each expectation.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AppDriver } from './support/app-driver.ts'
import { demoHost } from './support/demo-host.ts'
import { type StartedApp, startApp } from './support/start-app.ts'

interface WindowView {
  readonly url: string
  readonly backgroundColor: string
  readonly webPreferences: Readonly<Record<string, unknown>>
}

const host = demoHost()
let started: StartedApp
beforeAll(async () => {
  started = await startApp(host)
  await started.page.getByText('Connected', { exact: true }).waitFor()
})
afterAll(() => started[Symbol.asyncDispose]())

describe('the window', () => {
  it('is sandboxed, isolated and without Node', async () => {
    const [window] = await started.app.control<WindowView[]>('windows')
    expect(window?.webPreferences).toMatchObject({
      sandbox: true,
      contextIsolation: true,
      nodeIntegration: false,
      webSecurity: true,
      webviewTag: false,
    })
    expect(await started.app.control('app.state')).toMatchObject({ isSandboxEnforced: true })
  })

  it('shows a page of the app and has its colour before the page is there', async () => {
    const [window] = await started.app.control<WindowView[]>('windows')
    expect(window?.url).toBe('app://bulkhead/index.html')
    expect(window?.backgroundColor).toBe('#ffffff')
  })

  it('leaves no Node and nothing of Electron in the page', async () => {
    const found = await started.page.evaluate(() =>
      ['require', 'process', 'module', 'Buffer', 'electron', 'ipcRenderer'].filter((name) => name in window),
    )
    expect(found).toEqual([])
  })

  it('keeps the preload in a world of its own', async () => {
    const found = await started.page.evaluate(() =>
      Object.getOwnPropertyNames(window).filter((name) => /standin|bulkhead/i.test(name)),
    )
    expect(found).toEqual(['bulkhead'])
  })
})

describe('the bridge', () => {
  it('is frozen through and through and cannot be replaced', async () => {
    const result = await started.page.evaluate(() => {
      const { bulkhead } = window as unknown as { bulkhead: { api: object; on: unknown } }
      const property = Object.getOwnPropertyDescriptor(window, 'bulkhead')
      return {
        isFrozen: [bulkhead, bulkhead.api, bulkhead.on].map((value) => Object.isFrozen(value)),
        isWritable: property?.writable,
        isConfigurable: property?.configurable,
        members: Object.values(bulkhead.api).map((value) => typeof value),
      }
    })
    expect(result.isFrozen).toEqual([true, true, true])
    expect(result.isWritable).toBe(false)
    expect(result.isConfigurable).toBe(false)
    expect(new Set(result.members)).toEqual(new Set(['function']))
  })

  const call = (name: string, ...args: unknown[]) =>
    started.page.evaluate(
      ([method, params]) => {
        const { api } = (
          window as unknown as { bulkhead: { api: Record<string, (...a: unknown[]) => unknown> } }
        ).bulkhead
        return api[method as string]?.(...(params as unknown[]))
      },
      [name, args] as const,
    )

  it('answers in an envelope', async () => {
    expect(await call('snapshot')).toMatchObject({ ok: { settings: { theme: 'system' } } })
  })

  it.each([
    ['a method that is not the page’s', 'call', ['events.subscribe', {}]],
    ['a method that does not exist', 'call', ['guests.explode', {}]],
    ['parameters that are no object', 'call', ['guests.list', 'all']],
    ['an action that does not exist', 'connect', ['format-disk']],
    ['an address that is no web page', 'openExternal', ['file:///etc/passwd']],
    ['an address with a script', 'openExternal', ['javascript:alert(1)']],
    ['a terminal of another kind', 'openTerminal', [{ guest: 'web', kind: 'logs' }]],
    ['settings of another kind', 'changeSettings', [{ theme: 'pink' }]],
  ])('refuses %s', async (_what, name, args) => {
    expect(await call(name, ...args)).toMatchObject({ error: { code: 'app.bad-request' } })
    expect(await started.app.control('shell.opened')).toEqual([])
  })

  it('passes the core host’s error on with code and sentence', async () => {
    expect(await call('call', 'guests.inspect', { guest: 'nobody' })).toEqual({
      error: { code: 'guest.not-found', message: 'No guest is called "nobody"' },
    })
  })

  it('opens web pages outside', async () => {
    expect(await call('openExternal', 'https://example.org/a?b')).toEqual({ ok: undefined })
    expect(await started.app.control('shell.opened')).toEqual(['https://example.org/a?b'])
  })
})

describe('a page that was taken over', () => {
  it('cannot leave the app', async () => {
    const { page, app } = started
    await page.evaluate(() => {
      location.href = 'https://example.org/'
    })
    await page.evaluate(() => {
      const link = document.createElement('a')
      link.href = 'http://127.0.0.1:9/'
      document.body.append(link)
      link.click()
      link.remove()
    })
    const [window] = await app.control<WindowView[]>('windows')
    expect(window?.url).toBe('app://bulkhead/index.html')
    expect(await page.getByRole('heading', { name: 'Guests' }).count()).toBe(1)
  })

  it('cannot open windows', async () => {
    const { page } = started
    const opened = page.context().waitForEvent('page')
    await page.evaluate(() => void window.open('https://example.org/'))
    const popup = await opened
    if (!popup.isClosed()) await popup.waitForEvent('close')
    expect(page.context().pages().length).toBe(1)
  })

  it('runs no script that is not a file of the app', async () => {
    const { page } = started
    const outcome = await page.evaluate(async () => {
      const violated = new Promise<string>((resolve) =>
        document.addEventListener('securitypolicyviolation', (event) => resolve(event.effectiveDirective), {
          once: true,
        }),
      )
      const script = document.createElement('script')
      try {
        script.textContent = 'window.wasRun = true'
        document.body.append(script)
      } catch (error) {
        return { directive: 'require-trusted-types-for', wasRun: 'wasRun' in window, error: String(error) }
      }
      return { directive: await violated, wasRun: 'wasRun' in window }
    })
    expect(outcome.wasRun).toBe(false)
    expect(outcome.directive).toMatch(/script-src|require-trusted-types-for/)
  })

  it('cannot write markup as text', async () => {
    const error = await started.page.evaluate(() => {
      try {
        document.createElement('div').innerHTML = '<img src=x onerror=alert(1)>'
        return 'written'
      } catch (cause) {
        return String(cause)
      }
    })
    expect(error).toContain('TrustedHTML')
  })

  it.each(['https://example.org/', 'http://127.0.0.1:9/', 'data:text/plain,x'])(
    'cannot fetch %s',
    async (url) => {
      const failed = await started.page.evaluate(
        (target) =>
          fetch(target).then(
            () => false,
            () => true,
          ),
        url,
      )
      expect(failed).toBe(true)
    },
  )

  it('cannot read files beside the app’s own', async () => {
    const statuses = await started.page.evaluate(() =>
      Promise.all(
        ['/../main/index.js', '/%2e%2e/main/index.js', '/..%2fpreload/index.cjs', '/nothing.js'].map(
          async (path) => (await fetch(path)).status,
        ),
      ),
    )
    expect(statuses).toEqual([404, 404, 404, 404])
  })

  it('gets the headers that confine it', async () => {
    const headers = await started.page.evaluate(async () => {
      const response = await fetch('/index.html')
      return Object.fromEntries(response.headers)
    })
    expect(headers['content-security-policy']).toContain("default-src 'none'; script-src 'self'")
    expect(headers['content-security-policy']).toContain("frame-ancestors 'none'")
    expect(headers['x-content-type-options']).toBe('nosniff')
  })

  it('has the clipboard and no other permission', async () => {
    const states = await started.page.evaluate(async () => {
      const names = [
        'clipboard-read',
        'clipboard-write',
        'geolocation',
        'notifications',
        'camera',
        'microphone',
        'midi',
      ]
      const answers = await Promise.all(
        names.map(async (name) => [
          name,
          (await navigator.permissions.query({ name: name as PermissionName })).state,
        ]),
      )
      return Object.fromEntries(answers)
    })
    expect(states).toEqual({
      'clipboard-read': 'granted',
      'clipboard-write': 'granted',
      geolocation: 'denied',
      notifications: 'denied',
      camera: 'denied',
      microphone: 'denied',
      midi: 'denied',
    })
  })

  it('cannot use a device of the machine', async () => {
    expect(await started.app.control('session.deviceAllowed', { deviceType: 'usb' })).toBe(false)
  })

  it('cannot embed a page', async () => {
    const directive = await started.page.evaluate(() => {
      const violated = new Promise<string>((resolve) =>
        document.addEventListener('securitypolicyviolation', (event) => resolve(event.effectiveDirective), {
          once: true,
        }),
      )
      const frame = document.createElement('iframe')
      frame.src = 'https://example.org/'
      document.body.append(frame)
      return violated.finally(() => frame.remove())
    })
    expect(directive).toBe('frame-src')
  })
})

describe('root', () => {
  it.runIf(process.getuid?.() === 0)('is refused with a sentence', async () => {
    await using app = await AppDriver.start({ keepRoot: true })
    expect(await app.ended()).toBe(1)
    expect(app.output).toContain('Bulkhead does not run as root')
  })
})
