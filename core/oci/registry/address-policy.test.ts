import { expect, test } from 'vitest'
import { guardedLookup, isLoopbackHost, reachOf, reachOfHost, requireReach } from './address-policy.ts'

test.each([
  ['8.8.8.8', 'public'],
  ['2606:4700::1', 'public'],
  ['127.0.0.1', 'loopback'],
  ['127.9.9.9', 'loopback'],
  ['::1', 'loopback'],
  ['::ffff:127.0.0.1', 'loopback'],
  ['::ffff:7f00:1', 'loopback'],
  ['10.1.2.3', 'private'],
  ['172.31.0.1', 'private'],
  ['172.32.0.1', 'public'],
  ['192.168.1.1', 'private'],
  ['100.64.0.1', 'private'],
  ['fd00:ec2::255', 'private'],
  ['::ffff:10.0.0.1', 'private'],
  ['169.254.169.254', 'never'],
  ['::ffff:169.254.169.254', 'never'],
  ['fe80::1', 'never'],
  ['0.0.0.0', 'never'],
  ['::', 'never'],
  ['224.0.0.1', 'never'],
  ['255.255.255.255', 'never'],
  ['64:ff9b::7f00:1', 'never'],
  ['64:FF9B:0:0:0:0:7f00:1', 'never'],
  ['64:ff9b:1:fffe::a00:1', 'never'],
  ['2002:7f00:1::', 'never'],
  ['2001:0:7f00:1::', 'never'],
  ['2001:db8::1', 'public'],
  ['::7f00:1', 'never'],
  ['::ffff:0:127.0.0.1', 'never'],
  ['168.63.129.16', 'never'],
  ['100.100.100.200', 'never'],
  ['fd00:ec2::254', 'never'],
  ['not an address', 'never'],
])('reachOf(%s) is %s', (address, reach) => {
  expect(reachOf(address)).toBe(reach)
})

test('isLoopbackHost() goes by what was written, not by what a name resolves to', () => {
  for (const host of ['localhost', '127.0.0.1', '[::1]', '::1']) expect(isLoopbackHost(host), host).toBe(true)
  for (const host of ['localhost.example', '127.0.0.1.example', '10.0.0.1', 'example'])
    expect(isLoopbackHost(host), host).toBe(false)
})

test('reachOfHost() looks at literal addresses without a name server', async () => {
  expect(await reachOfHost('localhost')).toBe('loopback')
  expect(await reachOfHost('10.0.0.1')).toBe('private')
  expect(await reachOfHost('9.9.9.9')).toBe('public')
})

test('requireReach() refuses literal addresses that are too close', () => {
  const refused = expect.objectContaining({ code: 'oci.address-not-allowed' })
  expect(() => requireReach(new URL('http://169.254.169.254/'), 'loopback')).toThrow(refused)
  expect(() => requireReach(new URL('http://[::1]:5000/'), 'private')).toThrow(refused)
  expect(() => requireReach(new URL('http://0x7f.1/'), 'private')).toThrow(refused)
  expect(() => requireReach(new URL('http://10.0.0.1/'), 'private')).not.toThrow()
  expect(() => requireReach(new URL('http://example.com/'), 'public')).not.toThrow()
})

test('guardedLookup() refuses a name that resolves to this machine', async () => {
  const lookup = (limit: 'public' | 'loopback') =>
    new Promise((resolve) =>
      guardedLookup(limit)('localhost', { all: true }, (error, addresses) => resolve(error ?? addresses)),
    )
  expect(await lookup('public')).toMatchObject({ code: 'oci.address-not-allowed' })
  expect(await lookup('loopback')).toEqual(
    expect.arrayContaining([expect.objectContaining({ address: expect.any(String) })]),
  )
})
