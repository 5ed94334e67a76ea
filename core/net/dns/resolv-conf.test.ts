import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { parseResolvConf, readResolvConf } from './resolv-conf.ts'

const folder = mkdtempSync(join(tmpdir(), 'bulkhead-resolv-'))
afterAll(() => rmSync(folder, { recursive: true }))

describe('parseResolvConf()', () => {
  it('reads what the C library reads, and passes over the rest', () => {
    const text = [
      '# nameserver 192.0.2.1',
      ';nameserver 192.0.2.2',
      'nameserver 127.0.0.53',
      '\tnameserver\t fe80::1%eth0  ',
      'nameserver dns.example.org',
      'nameserver',
      'nameserver 2001:db8::53',
      'nameserver 192.0.2.3',
      'search one.example two.example.',
      'domain three.example',
      'search  four.example. five.example',
      'options ndots:2 edns0',
      'options trust-ad',
      'sortlist 192.0.2.0',
    ].join('\r\n')
    expect(parseResolvConf(text)).toEqual({
      servers: ['127.0.0.53', 'fe80::1%eth0', '2001:db8::53'],
      search: ['four.example', 'five.example'],
      options: ['ndots:2', 'edns0', 'trust-ad'],
    })
  })

  it('takes "domain" where it comes last, and "search ." for none', () => {
    expect(parseResolvConf('search a b\ndomain c.example')).toMatchObject({ search: ['c.example'] })
    expect(parseResolvConf('search .')).toMatchObject({ search: [] })
  })
})

describe('readResolvConf()', () => {
  it('finds no settings where there is no file, and reports one that cannot be read', () => {
    expect(readResolvConf(join(folder, 'none'))).toEqual({ servers: [], search: [], options: [] })
    writeFileSync(join(folder, 'file'), 'nameserver 192.0.2.1\n')
    expect(readResolvConf(join(folder, 'file')).servers).toEqual(['192.0.2.1'])
    expect(readResolvConf(join(folder, 'file', 'below')).servers).toEqual([])
    expect(() => readResolvConf(folder)).toThrowError(/EISDIR/)
  })
})
