import { expect, it } from 'vitest'
import { isPermitted } from './permission-rule.ts'
import { isTrustedSender } from './sender-rule.ts'

const ours = { frameUrl: 'app://bulkhead/index.html', isMainFrame: true, isOurWindow: true }

it('isTrustedSender() takes the main frame of our window on our page, and nothing less', () => {
  expect(isTrustedSender(ours)).toBe(true)
  expect(isTrustedSender({ ...ours, frameUrl: undefined })).toBe(false)
  expect(isTrustedSender({ ...ours, frameUrl: 'https://example.org/' })).toBe(false)
  expect(isTrustedSender({ ...ours, isMainFrame: false })).toBe(false)
  expect(isTrustedSender({ ...ours, isOurWindow: false })).toBe(false)
})

it('isPermitted() gives our pages the clipboard and nothing else', () => {
  expect(isPermitted('clipboard-read', 'app://bulkhead/')).toBe(true)
  expect(isPermitted('clipboard-sanitized-write', 'app://bulkhead/')).toBe(true)
  expect(isPermitted('clipboard-read', 'https://example.org/')).toBe(false)
  for (const permission of ['media', 'geolocation', 'notifications', 'midi', 'openExternal', 'fullscreen'])
    expect(isPermitted(permission, 'app://bulkhead/')).toBe(false)
})
