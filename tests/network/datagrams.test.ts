// UDP and ICMP of a guest through the real engine: sizes, both ways and families, and what routers behind the host say.
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { GATEWAY, GUEST_LINK, type Guest } from './support/guest.ts'
import type { Namespace } from './support/namespace.ts'
import { FAMILIES, type Family, HOST, NetworkLab, WORLD } from './support/network-lab.ts'
import type { Program } from './support/program.ts'
import { TestEngine } from './support/test-engine.ts'

const program = [process.execPath, join(import.meta.dirname, 'support/datagram-program.ts')] as const
const PORT = 5_000
/** Behind the world, on a link whose packets are smaller. */
const FAR = { ipv4: '10.96.0.2', ipv6: 'fd00:96::2' } as const
const NEAR = { ipv4: '10.96.0.1', ipv6: 'fd00:96::1' } as const
const FAR_MTU = 1_400
/** The world says that there is no way to it. */
const NOWHERE = { ipv4: '10.95.0.1', ipv6: 'fd00:95::1' } as const

let lab: NetworkLab
let engine: TestEngine
let tap: Guest
let vif: Guest
let far: Namespace

async function echo(namespace: Namespace, address: string): Promise<Program> {
  const server = lab.serve(namespace, ...program, 'echo', address, `${PORT}`)
  await server.lineWith('listening')
  return server
}

async function ask(
  guest: Guest,
  address: string,
  bytes: number,
  count = 1,
): Promise<{ answered: number; error: string | null }> {
  const said = await guest.namespace.run(...program, 'ask', address, `${PORT}`, `${bytes}`, `${count}`)
  return JSON.parse(said)
}

beforeAll(async () => {
  lab = await NetworkLab.create()
  far = await lab.namespace('far')
  await lab.world.ip('link', 'add', 'on', 'type', 'veth', 'peer', 'name', 'on', 'netns', far.name)
  for (const [namespace, { ipv4, ipv6 }] of [
    [lab.world, NEAR],
    [far, FAR],
  ] as const) {
    await namespace.ip('address', 'add', `${ipv4}/24`, 'dev', 'on')
    await namespace.ip('address', 'add', `${ipv6}/64`, 'dev', 'on', 'nodad')
    await namespace.ip('link', 'set', 'on', 'mtu', `${FAR_MTU}`, 'up')
  }
  await far.ip('route', 'add', 'default', 'via', NEAR.ipv4)
  await far.ip('route', 'add', 'default', 'via', NEAR.ipv6)
  await lab.world.sysctl('net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1')
  await lab.world.sysctl('net.ipv4.icmp_ratelimit=0', 'net.ipv6.icmp.ratelimit=0')
  await lab.world.ip('route', 'add', 'unreachable', `${NOWHERE.ipv4}/32`)
  await lab.world.ip('route', 'add', 'unreachable', `${NOWHERE.ipv6}/128`)
  engine = await TestEngine.start(lab)
  tap = await engine.addGuest({ device: 'tap' })
  vif = await engine.addGuest({ device: 'packet' })
  for (const family of FAMILIES) {
    await echo(lab.world, WORLD[family])
    await echo(far, FAR[family])
  }
})
afterAll(() => lab[Symbol.asyncDispose]())

describe.each(FAMILIES)('UDP over %s', (family: Family) => {
  test.each([
    ['nothing', 0],
    ['a few bytes', 20],
    ['a whole packet', 1_400],
    ['a packet and a half', 2_200],
    ['all that UDP carries', 65_507],
  ])('%s comes back, of a TAP and of a vif', async (_, bytes) => {
    expect(await ask(tap, WORLD[family], bytes, 5)).toEqual({ answered: 5, error: null })
    expect(await ask(vif, WORLD[family], bytes, 5)).toEqual({ answered: 5, error: null })
  })

  test('iperf3 has its datagrams arrive, both ways', async () => {
    const place = ['--port', '6000', '--forceflush'] as const
    for (const direction of [[], ['--reverse']]) {
      const server = lab.serve(
        lab.world,
        'iperf3',
        '--server',
        '--bind',
        WORLD[family],
        '--one-off',
        ...place,
      )
      await server.lineWith('listening')
      const said = await tap.namespace.run(
        ...['iperf3', '--client', WORLD[family], ...place, '--udp', '--bitrate', '2M', '--length', '1200'],
        ...['--blockcount', '300', '--json', ...direction],
      )
      const { packets, lost_packets: lost } = JSON.parse(said).end.sum
      // At such a rate a busy machine loses few, and nothing else does.
      expect(packets).toBeGreaterThan(200)
      expect(lost).toBeLessThan(packets / 4)
      await server.end
    }
  })

  test('a closed port of the world is refused at once, one of the gateway too', async () => {
    for (const address of [WORLD[family], GATEWAY[family]]) {
      const said = await tap.namespace.run(...program, 'silent', address, '5001', '10')
      expect(JSON.parse(said)).toEqual({ error: 'ECONNREFUSED' })
    }
  })

  test('a router that knows no way is heard', async () => {
    // More than one: a Linux router that has just sent another error to the host keeps this one to itself for a second.
    const { stdout } = await tap.namespace.start('ping', '-c', '4', '-i', '0.5', '-W', '5', NOWHERE[family])
      .end
    expect(stdout).toContain(`From ${WORLD[family]}`)
  })

  test('a narrow link behind the host is found, and what is too large for it arrives all the same', async () => {
    expect(await ask(tap, FAR[family], FAR_MTU + 60, 3)).toMatchObject({ answered: expect.any(Number) })
    expect((await ask(tap, FAR[family], FAR_MTU + 60, 3)).answered).toBe(3)
    const route = await tap.namespace.ip(...(family === 'ipv6' ? ['-6'] : []), 'route', 'get', FAR[family])
    expect(route).toContain(`mtu ${FAR_MTU}`)
  })

  test('traceroute sees the gateway, the routers and the end, by UDP and by ICMP', async () => {
    const version = family === 'ipv6' ? ['-6'] : ['-4']
    const trace = ['busybox', 'traceroute', ...version, '-n', '-q', '1', '-w', '3', '-m', '6'] as const
    for (const how of [[], ['-I']]) {
      const { stdout, stderr, code } = await tap.namespace.start(...trace, ...how, FAR[family]).end
      expect({ how, code, stderr: code === 0 ? '' : stderr }).toEqual({ how, code: 0, stderr: '' })
      const hops = stdout.split('\n').flatMap((line) => /^\s*\d+\s+(\S+)/.exec(line)?.[1] ?? [])
      expect(hops).toEqual([GATEWAY[family], WORLD[family], FAR[family]])
    }
  })

  test('a published port answers its clients from the address they asked, and shows the guest who they are', async () => {
    const hostPort = family === 'ipv6' ? 7_006 : 7_004
    await engine.publish({
      ...{
        guest: tap.message.id,
        protocol: 'udp',
        bind: family === 'ipv6' ? '::' : '0.0.0.0',
        hostPort,
        guestPort: PORT,
      },
    })
    const inside = await echo(tap.namespace, tap.message[family])
    const client = (namespace: Namespace, address: string) =>
      namespace.run(...program, 'ask', address, `${hostPort}`, '3000', '3')
    expect(JSON.parse(await client(lab.world, HOST[family]))).toEqual({ answered: 3, error: null })
    expect(await inside.nextLine()).toMatch(new RegExp(`^${WORLD[family]} `))
    expect(JSON.parse(await client(lab.host, family === 'ipv6' ? '::1' : '127.0.0.1'))).toEqual({
      answered: 3,
      error: null,
    })
    expect(await inside.nextLine()).toMatch(new RegExp(`^${GATEWAY[family]} `))
  })
})

describe('the gateway as a neighbour', () => {
  test('answers ARP and neighbour discovery for itself and for the other guests', async () => {
    const arping = (address: string) =>
      tap.namespace.start('busybox', 'arping', '-c', '1', '-w', '3', '-I', GUEST_LINK, address).end
    expect((await arping(GATEWAY.ipv4)).stdout).toContain(GATEWAY.mac)
    expect((await arping(vif.message.ipv4)).stdout).toContain(GATEWAY.mac)
    expect((await arping('192.0.2.1')).code).not.toBe(0)
  })

  test('refuses an address that another has: duplicate address detection fails for the gateway’s', async () => {
    const { namespace } = tap
    await namespace.sysctl(`net.ipv6.conf.${GUEST_LINK}.accept_dad=1`)
    await namespace.ip('address', 'add', `${GATEWAY.ipv6}/128`, 'dev', GUEST_LINK)
    await expect
      .poll(() => namespace.ip('-6', 'address', 'show', 'dev', GUEST_LINK), { timeout: 10_000 })
      .toMatch(new RegExp(`${GATEWAY.ipv6}/128.*dadfailed`))
    await namespace.ip('address', 'del', `${GATEWAY.ipv6}/128`, 'dev', GUEST_LINK)
  })
})
