import { execFileSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { findLink, IFF_UP, linkIndex, moveLink, setLinkUp } from './netlink-link.ts'
import { ensureNamespace, inNamespace, isNamespace, removeNamespace } from './network-namespace.ts'

let folder = ''
let inner = ''
let outer = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'namespace-'))
  inner = join(folder, 'kept/inner')
  outer = join(folder, 'kept/outer')
})
afterEach(() => {
  for (const path of [inner, outer]) removeNamespace(path)
  rmSync(folder, { recursive: true })
})

const own = () => readlinkSync('/proc/thread-self/ns/net')
const ip = (...words: string[]) => execFileSync('ip', words, { encoding: 'utf8' })

test('a namespace is made once and kept with what is in it', () => {
  const home = own()
  ensureNamespace(inner)
  const first = inNamespace(inner, own)
  expect(first).not.toBe(home)
  expect(own()).toBe(home)
  inNamespace(inner, () => ip('link', 'add', 'left', 'type', 'veth', 'peer', 'name', 'right'))
  ensureNamespace(inner)
  expect(inNamespace(inner, own)).toBe(first)
  expect(inNamespace(inner, () => linkIndex('left'))).toBeTypeOf('number')
  expect(linkIndex('left')).toBeUndefined()
  expect(statSync(join(folder, 'kept')).mode & 0o777).toBe(0o700)
})

test('a file that a killed process left in the place of a namespace becomes one', () => {
  ensureNamespace(outer)
  execFileSync('touch', [inner])
  expect(isNamespace(inner)).toBe(false)
  ensureNamespace(inner)
  expect(isNamespace(inner)).toBe(true)
})

test('the thread comes back when the work inside fails', () => {
  const home = own()
  ensureNamespace(inner)
  const fail = () => {
    throw new Error('no such luck')
  }
  expect(() => inNamespace(inner, fail)).toThrow('no such luck')
  expect(own()).toBe(home)
  expect(() => inNamespace(join(folder, 'none'), own)).toThrow('ENOENT')
  expect(() => inNamespace('/proc/self/ns/uts', own)).toThrow('Cannot enter the network namespace')
  expect(own()).toBe(home)
})

test('a device in it gets no address of its own when it goes up', () => {
  ensureNamespace(inner)
  const addresses = inNamespace(inner, () => {
    ip('link', 'add', 'left', 'type', 'veth', 'peer', 'name', 'right')
    setLinkUp('right', 1500)
    setLinkUp('left', 9000)
    return ip('address', 'show', 'dev', 'left')
  })
  expect(addresses).toMatch(/left@right: <[^>]*\bUP\b[^>]*> mtu 9000/)
  expect(addresses).not.toContain('inet')
  expect(inNamespace(inner, () => readFileSync('/proc/sys/net/ipv6/conf/all/disable_ipv6', 'utf8'))).toBe(
    '1\n',
  )
  expect(readFileSync('/proc/thread-self/net/dev', 'utf8')).not.toMatch(/^ *left:/m)
})

test('a device is moved to a namespace, switched off, with its name', () => {
  ensureNamespace(outer)
  ensureNamespace(inner)
  const target = openSync(inner, 'r')
  inNamespace(outer, () => {
    ip('link', 'add', 'vif7.0', 'type', 'veth', 'peer', 'name', 'peer')
    setLinkUp('vif7.0', 1500)
    moveLink('vif7.0', target)
  })
  closeSync(target)
  expect(inNamespace(outer, () => linkIndex('vif7.0'))).toBeUndefined()
  const moved = inNamespace(inner, () => findLink('vif7.0'))
  expect((moved?.flags ?? IFF_UP) & IFF_UP).toBe(0)
  inNamespace(inner, () => setLinkUp('vif7.0', 1500))
  expect((inNamespace(inner, () => findLink('vif7.0'))?.flags ?? 0) & IFF_UP).toBe(IFF_UP)
})

test('what is done to a device that is gone says so', () => {
  expect(() => setLinkUp('nosuch0', 1500)).toThrow(
    'Cannot switch the network device nosuch0 on: no such device (ENODEV)',
  )
  expect(() => moveLink('nosuch0', 0)).toThrow('Cannot move the network device nosuch0 to another namespace')
  expect(() => linkIndex('a name that no device has')).toThrow(RangeError)
})

test('one that is let go of is gone, whatever is still there of its file', () => {
  ensureNamespace(inner)
  removeNamespace(inner)
  removeNamespace(inner)
  expect(isNamespace(inner)).toBe(false)
})
