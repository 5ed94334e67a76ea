// Images: pulling with progress and cancel, importing a file that the person chose, deleting.
import { createHash, randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { demoHost } from './support/demo-host.ts'
import { type StartedApp, startApp } from './support/start-app.ts'

const host = demoHost()
const folder = mkdtempSync(join(tmpdir(), 'bulkhead-images-'))
// The app may run as another user than this test.
chmodSync(folder, 0o755)
let started: StartedApp
beforeAll(async () => {
  host.jobs.clear()
  mkdirSync(join(folder, 'docker'))
  const auth = Buffer.from('me:secret').toString('base64')
  writeFileSync(
    join(folder, 'docker/config.json'),
    JSON.stringify({ auths: { 'registry.example.org': { auth } } }),
  )
  started = await startApp(host, { environment: { DOCKER_CONFIG: join(folder, 'docker') } })
  await started.page.getByText('Connected', { exact: true }).waitFor()
  await started.page.getByRole('button', { name: 'Images' }).click()
})
afterAll(async () => {
  await started[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true })
})

it('pulls as a job that is seen on every page and can be cancelled', async () => {
  const { page } = started
  await page.getByRole('button', { name: 'Pull', exact: true }).click()
  await page.getByLabel('Reference').fill('nginx:1.27')
  await page.keyboard.press('Enter')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  const [job] = host.jobs.values()
  if (job === undefined) throw new Error('No pull was started')
  host.putJob({ ...job, progress: { phase: 'download', bytesDone: 500, bytesTotal: 1000, layers: [] } })
  await page.getByRole('button', { name: 'Settings' }).click()
  const bar = page.getByRole('contentinfo').getByRole('progressbar')
  await expect.poll(() => bar.getAttribute('aria-valuenow')).toBe('50')
  await page.getByRole('button', { name: 'Show jobs' }).click()
  await page.getByRole('button', { name: 'Cancel: Pull nginx:1.27' }).click()
  await page.getByText('Cancelled').waitFor()
  expect(host.calls).toContainEqual({ method: 'jobs.cancel', params: { job: job.id } })
  await page.keyboard.press('Escape')
})

it('sends the person’s own credentials along, to their registry only', async () => {
  const { page } = started
  for (const reference of ['registry.example.org/app:1', 'elsewhere.example.org/app:1']) {
    await page.getByRole('button', { name: 'Images' }).click()
    await page.getByRole('button', { name: 'Pull', exact: true }).click()
    await page.getByLabel('Reference').fill(reference)
    await page.keyboard.press('Enter')
    await page.getByRole('dialog').waitFor({ state: 'detached' })
  }
  const pulls = host.calls.filter(({ method }) => method === 'images.pull').slice(-2)
  expect(pulls.map(({ params }) => params)).toEqual([
    expect.objectContaining({ credentials: { username: 'me', password: 'secret' } }),
    expect.not.objectContaining({ credentials: expect.anything() }),
  ])
})

it('imports the archive that the person chose, byte for byte', async () => {
  const { page, app } = started
  const archive = randomBytes(3_000_000)
  const path = join(folder, 'image.tar')
  writeFileSync(path, archive)
  await page.getByRole('button', { name: 'Images' }).click()
  await page.getByRole('button', { name: 'Import', exact: true }).click()
  const asked = (await app.report('dialog')) as { kind: string }
  expect(asked.kind).toBe('open')
  await app.control('dialog.answer', { answer: { canceled: false, filePaths: [path] } })
  await expect.poll(() => host.imports.length, { timeout: 10_000 }).toBe(1)
  const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
  expect(hash(host.imports[0] ?? new Uint8Array())).toBe(hash(archive))
  await page.getByRole('button', { name: 'Show jobs' }).click()
  await page.getByText('Done').waitFor()
  await page.keyboard.press('Escape')
})

it('does nothing where no file was chosen, and says so where it cannot be read', async () => {
  const { page, app } = started
  await page.getByRole('button', { name: 'Import', exact: true }).click()
  await app.report('dialog')
  await app.control('dialog.answer', { answer: { canceled: true, filePaths: [] } })
  await page.getByRole('button', { name: 'Import', exact: true }).click()
  await app.report('dialog')
  await app.control('dialog.answer', { answer: { canceled: false, filePaths: ['/nowhere/image.tar'] } })
  const notice = page.getByRole('alert')
  await notice.waitFor()
  expect(await notice.textContent()).toContain('Cannot read /nowhere/image.tar')
  await notice.getByRole('button', { name: 'Dismiss' }).click()
})

it('deletes only what no guest was made from, and asks', async () => {
  const { page } = started
  await page.getByRole('button', { name: /postgres/ }).click()
  const remove = page.getByRole('main').getByRole('button', { name: 'Delete' })
  expect(await remove.getAttribute('title')).toBe('Guests were made from it: delete them first')
  await remove.click({ force: true })
  expect(await page.getByRole('dialog').count()).toBe(0)
  await page.getByRole('button', { name: /a-rather-long-name/ }).click()
  await remove.click()
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
  await page.getByRole('button', { name: /a-rather-long-name/ }).waitFor({ state: 'detached' })
})

it('shows what an image runs and is made of', async () => {
  const { page } = started
  await page.getByRole('button', { name: /busybox/ }).click()
  const main = page.getByRole('main')
  await main.getByText('PATH=/usr/local/sbin').waitFor()
  await main.getByText('tar+gzip').waitFor()
})
