// The machine's own interface: found by its MAC, set up as the bundle says, or the reason why not.

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { buildTools, makeTestImage, type TestImage } from './build.ts'
import { Machine, type MachineOptions } from './machine.ts'

const { network } = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../docs/contracts/bundle.example.json'), 'utf8'),
)

let image: TestImage

beforeAll(() => {
  buildTools()
  image = makeTestImage()
})

afterAll(() => image[Symbol.dispose]())

function boot(script: string, options: Partial<MachineOptions> = {}): Machine {
  return new Machine({
    device: image.device,
    binary: 'sanitized',
    process: { argv: ['sh', '-c', script] },
    bundle: { network },
    ...options,
  })
}

/** An interface with the bundle's MAC, whose cable leads to another one of the same machine. */
const addInterface = (name: string) =>
  `ip link add ${name} address ${network.mac} type veth peer name peer; ip link set peer up\n`

async function failureOf(machine: Machine): Promise<string> {
  const { payload } = await machine.frame('failed')
  const stepBytes = payload.readUInt32LE(4)
  return `${payload.toString('utf8', 8, 8 + stepBytes)}: ${payload.toString('utf8', 8 + stepBytes)}`
}

it('is given its addresses, its routes and its MTU, whatever it is called', async () => {
  const others = 'ip link add eth0 type veth peer name eth1\n'
  const script = 'ip address show dev eth7; ip route; ip -6 route show dev eth7'
  await using machine = boot(script, {
    prepare: others + addInterface('eth7'),
    bundle: { network: { ...network, mtu: 1400 } },
  })
  expect(await machine.exit()).toBe('status 0')
  const shown = machine.text(2)
  expect(shown).toMatch(/eth7@\w+: <[^>]*\bUP\b[^>]*> mtu 1400/)
  expect(shown).toContain('inet 10.75.3.75/32 scope global eth7')
  expect(shown).toMatch(/inet6 fdd4:1476:6c7e::a4b:34b\/128 scope global(?! tentative)/)
  expect(shown).toContain('default via 10.75.0.1 dev eth7')
  expect(shown).toMatch(/10\.75\.0\.1 dev eth7 .*scope link/)
  expect(shown).toMatch(/default via fdd4:1476:6c7e::1\b/)
  expect(shown).toMatch(/^fdd4:1476:6c7e::1 /m)
  expect(machine.log).not.toContain('set-up-network')
})

it('does not heed router advertisements', async () => {
  const script = 'cat /proc/sys/net/ipv6/conf/eth0/accept_ra /proc/sys/net/ipv6/conf/eth0/autoconf'
  await using machine = boot(script, { prepare: addInterface('eth0') })
  expect(await machine.exit()).toBe('status 0')
  expect(machine.text(2)).toBe('0\n0\n')
})

it('is named in /etc/hosts and /etc/resolv.conf', async () => {
  await using machine = boot('cat /etc/hosts /etc/resolv.conf', {
    prepare: addInterface('eth0'),
    bundle: { network, hostname: 'web.example.net' },
  })
  expect(await machine.exit()).toBe('status 0')
  expect(machine.text(2)).toContain('\n10.75.3.75\tweb.example.net web\n')
  expect(machine.text(2)).toContain('\nfdd4:1476:6c7e::a4b:34b\tweb.example.net web\n')
  expect(machine.text(2)).not.toContain('127.0.1.1')
  expect(machine.text(2)).toContain(
    'nameserver 10.75.0.1\nnameserver fdd4:1476:6c7e::1\nsearch guest\noptions edns0\n',
  )
})

it('may appear late', async () => {
  await using machine = boot('ip route')
  await machine.until(() => machine.log.includes('waiting for the network'))
  const words = ['link', 'add', 'late0', 'address', network.mac, 'netns', String(machine.pid)]
  execFileSync('ip', [...words, 'type', 'veth', 'peer', 'name', 'peer', 'netns', String(machine.pid)])
  expect(await machine.exit()).toBe('status 0')
  expect(machine.text(2)).toContain('default via 10.75.0.1 dev late0')
})

it('is waited for no longer than the hypervisor wants the machine', async () => {
  // The other one has lost its libraries by then, and cannot be started again as /sbin/poweroff.
  await using machine = boot('true', { binary: 'plain' })
  await machine.until(() => machine.log.includes('waiting for the network'))
  machine.requestPowerOff()
  expect(await failureOf(machine)).toMatch(/^set-up-network: asked to stop while waiting for the network/)
  await machine.powerOff()
})

it.each([
  [
    'an address that is there already',
    'ip address add 10.75.3.75/32 dev eth0',
    'set-up-network: cannot give eth0 the address 10.75.3.75: File exists',
  ],
  [
    'a route that is there already',
    'ip link set eth0 up; ip route add 10.75.0.1 dev eth0',
    'set-up-network: cannot make the route to 10.75.0.1 on eth0: File exists',
  ],
])('%s ends the launch with its reason', async (_, line, failure) => {
  await using machine = boot('true', { prepare: `${addInterface('eth0')}${line}\n` })
  expect(await failureOf(machine)).toBe(failure)
  await machine.powerOff()
  expect(machine.find('exited')).toBeUndefined()
})

it('is left alone where the bundle wants no network', async () => {
  await using machine = boot('ip address show; ip route', {
    prepare: addInterface('eth0'),
    bundle: { network: { kind: 'none' } },
  })
  expect(await machine.exit()).toBe('status 0')
  expect(machine.text(2)).toMatch(/eth0@\w+: <(?![^>]*\bUP\b)/)
  expect(machine.text(2)).not.toContain('10.75')
})
