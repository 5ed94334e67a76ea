// A guest that writes as fast as it can: nothing of it is lost, and the core host never has more on the way than the
// window allows, because the page acknowledges what its terminal has parsed and no sooner.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { demoFacts, guestSummary } from './support/demo-host.ts'
import { ScriptedHost } from './support/scripted-host.ts'
import { type StartedApp, startApp, terminalSays } from './support/start-app.ts'

const floodBytes = 10 * 1024 * 1024
const windowBytes = 1024 * 1024
const host = new ScriptedHost(demoFacts)
let started: StartedApp
beforeAll(async () => {
  host.addGuest(guestSummary('flood'))
  started = await startApp(host)
})
afterAll(() => started[Symbol.asyncDispose]())

it('parses 10 MiB of coloured lines and acknowledges every byte of them', async () => {
  const { page } = started
  const { stdio } = host.find('flood')
  const line = '\u001b[32mINFO\u001b[0m request served in 3 ms, path=/index.html status=200 bytes=1532\r\n'
  await page.getByRole('button', { name: /flood/ }).first().click()
  await expect.poll(() => stdio.readers).toBe(1)
  const text = line.repeat(Math.ceil(floodBytes / line.length))
  const begun = performance.now()
  stdio.write(text)
  stdio.write('the last line\r\n')
  const total = text.length + 'the last line\r\n'.length
  await expect.poll(() => stdio.acknowledged, { timeout: 60_000, interval: 20 }).toBe(total)
  const seconds = (performance.now() - begun) / 1000
  console.log(`10 MiB parsed in ${seconds.toFixed(1)} s, ${(10 / seconds).toFixed(1)} MiB/s`)
  await terminalSays(page, 'the last line')
  expect(stdio.mostUnacknowledged).toBeLessThanOrEqual(windowBytes)
})
