import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { contentSecurityPolicy, filePath, pageResponse } from './page-files.ts'

const folder = mkdtempSync(join(tmpdir(), 'bulkhead-pages-'))
const root = join(folder, 'renderer')
mkdirSync(root)
writeFileSync(join(root, 'index.html'), '<!doctype html>')
writeFileSync(join(root, 'secret.txt'), 'not of a kind that pages use')
writeFileSync(join(folder, 'renderer-beside.js'), 'beside')
afterAll(() => rmSync(folder, { recursive: true }))

describe('filePath()', () => {
  it('stays inside the folder', () => {
    expect(filePath(root, 'app://bulkhead/assets/a.js')).toBe(join(root, 'assets/a.js'))
    expect(filePath(root, 'app://bulkhead/')).toBe(join(root, 'index.html'))
  })
  it.each(['/..%2frenderer-beside.js', '/%2e%2e%2fx.js', '/a/..%2f..%2fx.js', '/%00.js', '/%zz.js'])(
    'refuses %s',
    (path) => {
      expect(filePath(root, `app://bulkhead${path}`)).toBeUndefined()
    },
  )
})

describe('pageResponse()', () => {
  it('serves a page with the headers that confine it', async () => {
    const response = await pageResponse(root, 'app://bulkhead/index.html')
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(response.headers.get('content-security-policy')).toBe(contentSecurityPolicy)
    expect(await response.text()).toBe('<!doctype html>')
  })
  it.each(['/secret.txt', '/missing.js', '/..%2frenderer-beside.js'])('has no %s', async (path) => {
    const response = await pageResponse(root, `app://bulkhead${path}`)
    expect(response.status).toBe(404)
    expect(response.headers.get('content-security-policy')).toBe(contentSecurityPolicy)
  })
})
