// What a policy must know of the host, from a real kernel: the addresses that it calls its own as they come and go, and
// whose routes are in the way of the guests' subnets.
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { parseAddress } from '../../core/net/address.ts'
import { compilePolicy } from '../../core/net/policy/range-policy.ts'
import { findConflicts } from '../../core/net/policy/subnet-conflict.ts'
import { defaultSettings } from '../../core/net/settings.ts'
import { inNamespace } from '../../core/sys/network-namespace.ts'
import { openRouteMonitor, type RouteMonitor } from '../../core/sys/route-monitor.ts'
import { readRoutes } from '../../core/sys/route-table.ts'
import { Namespace } from './support/namespace.ts'

let namespace: Namespace
beforeAll(async () => {
  namespace = await Namespace.create('policy')
  await namespace.ip('link', 'add', 'lan', 'type', 'veth', 'peer', 'name', 'far')
  await namespace.ip('link', 'set', 'far', 'up')
  await namespace.ip('link', 'set', 'lan', 'up')
})
afterAll(() => namespace[Symbol.asyncDispose]())

describe('openRouteMonitor()', () => {
  const onChange = vi.fn<(addresses: readonly string[]) => void>()
  const log = vi.fn<(message: string) => void>()
  let monitor: RouteMonitor | undefined
  afterEach(() => {
    monitor?.[Symbol.dispose]()
    onChange.mockReset()
  })

  const start = () => {
    monitor = inNamespace(namespace.path, () => openRouteMonitor({ onChange, log }))
    return monitor
  }
  const isOpen = (address: string) =>
    compilePolicy([], monitor?.addresses ?? [], defaultSettings).verdict(...parseAddress(address), 6, 80) ===
    'allowed'
  const becomes = (address: string, open: boolean) =>
    vi.waitFor(() => expect(isOpen(address), address).toBe(open), 10_000)

  it('knows addresses of both families, broadcast addresses and local ranges as they come and go', async () => {
    const { addresses } = start()
    expect(addresses).toContain('127.0.0.0/8')
    expect(isOpen('198.51.100.7')).toBe(true)
    await namespace.ip('address', 'add', '198.51.100.7/24', 'brd', '+', 'dev', 'lan')
    await becomes('198.51.100.7', false)
    expect(isOpen('198.51.100.255')).toBe(false)
    expect(isOpen('198.51.100.8')).toBe(true)
    await namespace.ip('address', 'add', '2001:db8::7/64', 'dev', 'lan', 'nodad')
    await becomes('2001:db8::7', false)
    expect(isOpen('2001:db8::8')).toBe(true)
    await namespace.ip('route', 'add', 'local', '203.0.113.0/28', 'dev', 'lo')
    await becomes('203.0.113.9', false)
    expect(isOpen('203.0.113.16')).toBe(true)
    expect(isOpen('64:ff9b::203.0.113.9')).toBe(false)
    await namespace.ip('route', 'del', 'local', '203.0.113.0/28', 'dev', 'lo')
    await becomes('203.0.113.9', true)
    await namespace.ip('address', 'flush', 'dev', 'lan')
    await becomes('198.51.100.7', true)
    await becomes('2001:db8::7', true)
    expect(log).not.toHaveBeenCalled()
  })

  it('takes a proxy’s local route for everything, in a table of its own, for none of the host’s', async () => {
    await namespace.ip('route', 'add', 'local', 'default', 'dev', 'lo', 'table', '100')
    start()
    expect(isOpen('198.51.100.7')).toBe(true)
    await namespace.ip('route', 'flush', 'table', '100')
  })

  it('passes over IPv4 inside of IPv6, which translators give to interfaces', async () => {
    await namespace.ip('address', 'add', '::ffff:198.51.100.77/128', 'dev', 'lan', 'nodad')
    await namespace.ip('-6', 'route', 'add', '::ffff:0:0/96', 'dev', 'lan')
    start()
    expect(isOpen('198.51.100.77')).toBe(true)
    expect(
      findConflicts(
        inNamespace(namespace.path, () => readRoutes()),
        defaultSettings,
      ),
    ).toEqual([])
    await namespace.ip('-6', 'route', 'del', '::ffff:0:0/96', 'dev', 'lan')
    await namespace.ip('address', 'del', '::ffff:198.51.100.77/128', 'dev', 'lan')
  })

  it('tells nothing of routes that are not the host’s own, and nothing after its end', async () => {
    start()
    await namespace.ip('address', 'add', '198.51.100.1/24', 'dev', 'lan')
    await vi.waitFor(() => expect(onChange).toHaveBeenCalledOnce())
    await namespace.ip('route', 'add', '192.0.2.0/24', 'via', '198.51.100.254')
    await namespace.ip('address', 'add', '198.51.100.2/24', 'dev', 'lan')
    await vi.waitFor(() => expect(onChange).toHaveBeenCalledTimes(2))
    monitor?.[Symbol.dispose]()
    await namespace.ip('address', 'flush', 'dev', 'lan')
    const next = start()
    expect(next.addresses).not.toContain('198.51.100.1/32')
    expect(onChange).toHaveBeenCalledTimes(2)
  })
})

describe('findConflicts()', () => {
  const conflicts = () =>
    findConflicts(
      inNamespace(namespace.path, () => readRoutes()),
      defaultSettings,
    ).map(({ subnet, route, kind }) => [subnet, route.destination, kind])

  it('finds networks inside of a subnet and around it, and neither default routes nor holes', async () => {
    await namespace.ip('address', 'add', '198.51.100.1/24', 'dev', 'lan')
    await namespace.ip('route', 'add', 'default', 'via', '198.51.100.254')
    await namespace.ip('-6', 'route', 'add', 'default', 'dev', 'lan')
    await namespace.ip('route', 'add', '10.76.0.0/16', 'via', '198.51.100.254')
    await namespace.ip('route', 'add', 'blackhole', '10.0.0.0/9')
    expect(conflicts()).toEqual([])
    await namespace.ip('route', 'add', '10.0.0.0/8', 'via', '198.51.100.254')
    await namespace.ip('address', 'add', '10.75.9.1/32', 'dev', 'lan')
    await namespace.ip('-6', 'route', 'add', 'fdd4:1476:6c7e:5::/64', 'dev', 'lan')
    expect(conflicts()).toEqual([
      ['10.75.0.0/16', '10.0.0.0/8', 'around'],
      ['10.75.0.0/16', '10.75.9.1/32', 'inside'],
      ['fdd4:1476:6c7e::/48', 'fdd4:1476:6c7e:5:0:0:0:0/64', 'inside'],
    ])
  })

  it('reads tables that are larger than a message', async () => {
    const batch = Array.from({ length: 3000 }, (_, index) => {
      const [high, low] = [index >> 8, index & 255]
      return `route add 172.16.${high}.${low}/32 dev lan\n`
    })
    const routes = namespace.start('ip', '-batch', '-')
    routes.child.stdin.end(batch.join(''))
    await routes.output()
    expect(inNamespace(namespace.path, () => readRoutes()).length).toBeGreaterThan(3000)
  })
})
