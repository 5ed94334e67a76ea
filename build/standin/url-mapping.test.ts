import { expect, it } from 'vitest'
import { fromChromium, toChromium } from './url-mapping.ts'

it.each(['app://bulkhead/index.html', 'app://bulkhead/a/b.js?c=d#e', 'app://bulkhead/'])(
  'there and back again: %s',
  (url) => {
    const mapped = toChromium(url, ['app'])
    expect(mapped).toMatch(/^http:\/\/bulkhead\.app\.localhost\//)
    expect(fromChromium(mapped, ['app'])).toBe(url)
  },
)

it.each([
  'https://example.org/',
  'http://localhost/',
  'http://bulkhead.app.localhost.example.org/',
  'about:blank',
])('leaves %s alone', (url) => {
  expect(toChromium(url, ['app'])).toBe(url)
  expect(fromChromium(url, ['app'])).toBe(url)
})

it('maps only schemes that are served', () => {
  expect(fromChromium('http://bulkhead.app.localhost/', [])).toBe('http://bulkhead.app.localhost/')
})
