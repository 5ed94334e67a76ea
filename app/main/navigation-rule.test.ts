import { describe, expect, it } from 'vitest'
import { isAppUrl, isExternalUrl } from './navigation-rule.ts'

describe('isAppUrl()', () => {
  it.each(['app://bulkhead/index.html', 'app://bulkhead/', 'app://bulkhead/x?y#z'])('takes %s', (url) => {
    expect(isAppUrl(url)).toBe(true)
  })
  it.each([
    'app://evil/index.html',
    'app://user@bulkhead/',
    'app://bulkhead:80/',
    'app://bulkhead.example.org/',
    'https://bulkhead/',
    'file:///index.html',
    'about:blank',
    '',
    'bulkhead',
  ])('refuses %j', (url) => {
    expect(isAppUrl(url)).toBe(false)
  })
})

describe('isExternalUrl()', () => {
  it.each(['https://example.org', 'http://127.0.0.1:8080/x', 'mailto:a@example.org'])('takes %s', (url) => {
    expect(isExternalUrl(url)).toBe(true)
  })
  it.each([
    'file:///etc/passwd',
    'javascript:alert(1)',
    'smb://host/share',
    'app://bulkhead/',
    'example.org',
    '',
  ])('refuses %j', (url) => {
    expect(isExternalUrl(url)).toBe(false)
  })
})
