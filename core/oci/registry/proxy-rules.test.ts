import { describe, expect, test } from 'vitest'
import { ProxyRules, proxySettingsOf } from './proxy-rules.ts'

const through = (except: string, url: string) =>
  new ProxyRules({ http: 'http://plain:1', https: 'secure:2', except }).proxyFor(new URL(url))?.host

test('the protocol of the URL decides, and this machine is never behind a proxy', () => {
  expect(through('', 'http://registry.example/')).toBe('plain:1')
  expect(through('', 'https://registry.example/')).toBe('secure:2')
  for (const url of ['http://localhost:5000/', 'https://127.0.0.1/', 'https://[::1]:5000/'])
    expect(through('', url)).toBeUndefined()
  expect(new ProxyRules({ http: 'http://plain:1' }).proxyFor(new URL('https://a.example/'))).toBeUndefined()
  expect(new ProxyRules().proxyFor(new URL('https://a.example/'))).toBeUndefined()
})

describe('an exception', () => {
  test.each([
    ['*', 'https://any.example/', true],
    ['example.com', 'https://example.com/', true],
    ['example.com', 'https://a.b.example.com/', true],
    ['example.com', 'https://notexample.com/', false],
    ['.example.com', 'https://a.example.com/', true],
    ['.example.com', 'https://example.com/', true],
    ['*.example.com', 'https://a.example.com/', true],
    ['*.example.com', 'https://example.com/', false],
    ['EXAMPLE.com.', 'https://Example.COM/', true],
    ['example.com', 'https://example.com./', true],
    ['example.com:443', 'https://example.com/', true],
    ['example.com:443', 'https://example.com:5000/', false],
    ['example.com:5000', 'https://example.com:5000/', true],
    ['*:5000', 'https://a.example:5000/', true],
    ['*:5000', 'https://a.example/', false],
    ['10.1.2.3', 'https://10.1.2.3/', true],
    ['10.0.0.0/8', 'https://10.1.2.3:5000/', true],
    ['10.0.0.0/8', 'https://11.1.2.3/', false],
    ['10.0.0.0/8', 'https://ten.example/', false],
    ['10.0.0.0/99', 'https://10.1.2.3/', false],
    ['fd00::/8', 'https://[fd12::1]:5000/', true],
    ['fd12::1', 'https://[fd12::1]/', true],
    ['[fd12::1]:5000', 'https://[fd12::1]:5000/', true],
    ['[fd12::1]:5000', 'https://[fd12::1]/', false],
    ['other.example, ,\texample.com', 'https://example.com/', true],
    [':,[,*.,/', 'https://example.com/', false],
  ])('"%s" for %s: %s', (except, url, isExcepted) => {
    expect(through(except, url) === undefined).toBe(isExcepted)
  })
})

test.each(['ftp://proxy:1', 'http://', 'http://%zz@proxy', '://'])(
  '"%s" is no proxy, and is not shown',
  (text) => {
    const bad = expect.objectContaining({ code: 'oci.bad-proxy', message: expect.not.stringContaining(text) })
    expect(() => new ProxyRules({ https: text })).toThrow(bad)
  },
)

test('proxySettingsOf() takes capitals first, and empty for nothing', () => {
  const environment = { http_proxy: 'low:1', HTTP_PROXY: 'high:1', HTTPS_PROXY: '', NO_PROXY: 'a,b' }
  expect(proxySettingsOf(environment)).toEqual({ http: 'high:1', https: undefined, except: 'a,b' })
})
