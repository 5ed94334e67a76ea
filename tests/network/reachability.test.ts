// What a guest's own tools say of its network: ping, names, configuration by DHCP and router advertisements.
import { mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { GATEWAY, GUEST_LINK, type Guest } from './support/guest.ts'
import { BLACK_HOLE, NetworkLab, UNREACHABLE, WORLD } from './support/network-lab.ts'
import { TestEngine } from './support/test-engine.ts'

const ANSWER = '192.0.2.33'
const ANSWER6 = '2001:db8::33'
/** What busybox calls with what it was given: addresses alone in their network, routes as RFC 3442 has them. */
const dhcpScript = `#!/bin/sh
test "$1" = bound || exit 0
ip address add "$ip/$mask" dev "$interface"
set -- $staticroutes
while [ $# -ge 2 ]; do
  if [ "$2" = 0.0.0.0 ]; then ip route add "$1" dev "$interface"
  else ip route add "$1" via "$2" dev "$interface" onlink; fi
  shift 2
done
`
let lab: NetworkLab
let engine: TestEngine
let guest: Guest

beforeAll(async () => {
  lab = await NetworkLab.create()
  const dnsmasq = lab.serve(
    lab.host,
    ...[
      'dnsmasq',
      '--keep-in-foreground',
      '--conf-file=/dev/null',
      '--no-resolv',
      '--no-hosts',
      '--user=root',
    ],
    ...['--listen-address=127.0.0.1', '--bind-interfaces', '--log-facility=-', '--pid-file='],
    ...[`--host-record=name.test,${ANSWER},${ANSWER6}`, `--txt-record=long.test,${'long '.repeat(40)}`],
    ...Array.from({ length: 90 }, (_, index) => `--host-record=many.test,192.0.2.${index + 1}`),
  )
  engine = await TestEngine.start(lab, { resolvConf: 'nameserver 127.0.0.1\n' })
  guest = await engine.addGuest()
  expect(dnsmasq.child.exitCode).toBeNull()
})
afterAll(() => lab[Symbol.asyncDispose]())

describe('ping', () => {
  test.each([
    ['the gateway', GATEWAY.ipv4],
    ['the gateway, IPv6', GATEWAY.ipv6],
    ["the gateway's link-local address", `fe80::1%${GUEST_LINK}`],
    ['the world', WORLD.ipv4],
    ['the world, IPv6', WORLD.ipv6],
  ])('%s answers all of five', async (_, address) => {
    const said = await guest.namespace.run('ping', '-c', '5', '-i', '0.05', '-W', '5', address)
    expect(said).toContain('5 received')
  })

  test.each([WORLD.ipv4, WORLD.ipv6])('a ping of 8000 bytes to %s comes back whole', async (address) => {
    const said = await guest.namespace.run('ping', '-c', '2', '-i', '0.05', '-W', '5', '-s', '8000', address)
    expect(said).toContain('2 received')
  })

  test('several guests with the same identifier get their own answers', async () => {
    const other = await engine.addGuest()
    const ping = ['ping', '-e', '4711', '-c', '5', '-i', '0.05', '-W', '5', WORLD.ipv4] as const
    const all = await Promise.all([guest.namespace.run(...ping), other.namespace.run(...ping)])
    for (const said of all) expect(said).toContain('5 received')
  })

  test('what the host cannot reach is said to be unreachable', async () => {
    const { stdout } = await guest.namespace.start('ping', '-c', '1', '-W', '5', UNREACHABLE).end
    expect(stdout).toContain(`From ${GATEWAY.ipv4}`)
    expect(stdout).toMatch(/Unreachable/i)
  })

  test('what does not answer is silent', async () => {
    const { stdout } = await guest.namespace.start('ping', '-c', '1', '-W', '1', BLACK_HOLE).end
    expect(stdout).toContain('0 received')
    expect(stdout).not.toMatch(/Unreachable/i)
  })
})

describe('names', () => {
  const dig = (...words: readonly string[]) =>
    guest.namespace.run('dig', '+short', '+time=5', '+tries=1', `@${GATEWAY.ipv4}`, ...words)

  test.each([
    ['over UDP', []],
    ['over TCP', ['+tcp']],
  ])("the host's resolver answers %s", async (_, how) => {
    expect((await dig(...how, 'name.test', 'A')).trim()).toBe(ANSWER)
    expect((await dig(...how, 'name.test', 'AAAA')).trim()).toBe(ANSWER6)
  })

  test('the resolver is at the IPv6 gateway too', async () => {
    const said = await guest.namespace.run(
      ...['dig', '+short', '+time=5', '+tries=1', `@${GATEWAY.ipv6}`, 'name.test', 'A'],
    )
    expect(said.trim()).toBe(ANSWER)
  })

  test('an answer too long for UDP comes by TCP', async () => {
    expect((await dig('+bufsize=512', 'many.test', 'A')).trim().split('\n')).toHaveLength(90)
  })

  test('guests have names', async () => {
    expect((await dig(`${guest.message.name}.guest`, 'A')).trim()).toBe(guest.message.ipv4)
    expect((await dig(`${guest.message.name}.guest`, 'AAAA')).trim()).toBe(guest.message.ipv6)
    expect((await dig('-x', guest.message.ipv4)).trim()).toBe(`${guest.message.name}.guest.`)
  })

  test('hundreds of questions at once are all answered', async () => {
    const questions = Array.from({ length: 60 }, () => 'name.test')
    const said = await dig(...questions)
    expect(said.trim().split('\n')).toEqual(questions.map(() => ANSWER))
  })
})

describe('a guest that configures itself', () => {
  test('gets its address and route by DHCP, and reaches the world', async () => {
    const { namespace, message } = await engine.addGuest({ configuration: 'foreign' })
    await using folder = await mkdtempDisposable(join(tmpdir(), 'dhcp-'))
    const script = join(folder.path, 'configure')
    await writeFile(script, dhcpScript, { mode: 0o755 })
    await namespace.run(
      ...['busybox', 'udhcpc', '-i', GUEST_LINK, '-n', '-q', '-f', '-t', '5', '-T', '1', '-s', script],
      ...['-O', 'staticroutes'],
    )
    expect(await namespace.ip('address', 'show', 'dev', GUEST_LINK)).toContain(`inet ${message.ipv4}/16`)
    // Another guest is asked for by ARP, as on any network of this size: the gateway answers in its place.
    for (const address of [WORLD.ipv4, guest.message.ipv4])
      expect(await namespace.run('ping', '-c', '1', '-W', '5', address)).toContain('1 received')
  })

  test('makes its address of what the router says, and reaches the world', async () => {
    const { namespace, message } = await engine.addGuest({ configuration: 'foreign' })
    await expect
      .poll(() => namespace.ip('address', 'show', 'dev', GUEST_LINK, 'scope', 'global', '-tentative'), {
        timeout: 15_000,
      })
      .toContain(`inet6 ${message.ipv6}/64`)
    expect(await namespace.ip('-6', 'route', 'show', 'default')).toContain('via fe80::1')
    for (const address of [WORLD.ipv6, guest.message.ipv6])
      expect(await namespace.run('ping', '-c', '1', '-W', '5', address)).toContain('1 received')
  })
})
