import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { takeInstanceLock } from './instance-lock.ts'

const folder = mkdtempSync(join(tmpdir(), 'bulkhead-lock-'))
afterAll(() => rmSync(folder, { recursive: true }))

it('belongs to the first instance, which hears of the second one', async () => {
  const heard = Promise.withResolvers<unknown>()
  expect(takeInstanceLock(folder, {}, (_argv, _folder, additional) => heard.resolve(additional))).toBe(true)
  expect(takeInstanceLock(folder, { guest: 'web' }, () => {})).toBe(false)
  expect(await heard.promise).toEqual({ guest: 'web' })
})

it('is free again after an instance that died', () => {
  const abandoned = mkdtempSync(join(folder, 'abandoned-'))
  writeFileSync(join(abandoned, 'instance.sock'), '')
  expect(takeInstanceLock(abandoned, {}, () => {})).toBe(true)
})
