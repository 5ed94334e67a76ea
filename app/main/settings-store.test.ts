import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { defaultSettings } from '../preload/settings.ts'
import { SettingsStore } from './settings-store.ts'

const folder = mkdtempSync(join(tmpdir(), 'bulkhead-settings-'))
afterAll(() => rmSync(folder, { recursive: true }))

it('begins with the defaults and keeps what was changed', () => {
  const path = join(folder, 'new/settings.json')
  const store = new SettingsStore(path)
  expect(store.current).toEqual(defaultSettings)
  store.change({ theme: 'dark' })
  expect(new SettingsStore(path).current).toEqual({ ...defaultSettings, theme: 'dark' })
})

it('keeps what a newer version wrote, and takes no value that makes no sense', () => {
  const path = join(folder, 'settings.json')
  writeFileSync(path, '{"formatVersion":1,"theme":"pink","fromTheFuture":{"a":1}}')
  const store = new SettingsStore(path)
  expect(store.current.theme).toBe('system')
  store.change({ onQuit: 'keep' })
  expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ fromTheFuture: { a: 1 }, onQuit: 'keep' })
})

it('begins anew where the file is broken', () => {
  const path = join(folder, 'broken.json')
  writeFileSync(path, '{"theme":')
  expect(new SettingsStore(path).current).toEqual(defaultSettings)
})
