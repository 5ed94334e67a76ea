// DNS as guests have it: `dig` in a guest asks the gateway, the engine asks the host's server, confined as it is.
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { startDnsmasq } from './dns-servers.ts'
import { GATEWAY, type Guest } from './support/guest.ts'
import { FAMILIES, NetworkLab, WORLD } from './support/network-lab.ts'
import { run } from './support/program.ts'
import { connectIn, datagramsIn } from './support/sockets.ts'
import { TestEngine } from './support/test-engine.ts'

let lab: NetworkLab
let engine: TestEngine
let first: Guest
let second: Guest

beforeAll(async () => {
  lab = await NetworkLab.create()
  lab.use(
    await startDnsmasq(WORLD.ipv4, 53, {
      namespace: lab.world,
      records: [
        '--host-record=www.example.test,192.0.2.10,2001:db8::10',
        ...Array.from(
          { length: 40 },
          (_, index) => `--txt-record=big.example.test,${index} ${'x'.repeat(200)}`,
        ),
      ],
    }),
  )
  engine = await TestEngine.start(lab, { resolvConf: `nameserver ${WORLD.ipv4}\n` })
  first = await engine.addGuest()
  second = await engine.addGuest({ device: 'packet' })
})
afterAll(() => lab[Symbol.asyncDispose]())

function ask(guest: Guest, server: string, ...question: readonly string[]): Promise<string> {
  return guest.namespace.run('dig', `@${server}`, '+tries=1', '+time=5', ...question)
}

describe.each(FAMILIES)('over %s', (family) => {
  const server = GATEWAY[family]

  it('names of the world are resolved, over UDP and TCP', async () => {
    for (const guest of [first, second]) {
      expect(await ask(guest, server, '+short', 'www.example.test')).toBe('192.0.2.10\n')
      expect(await ask(guest, server, '+short', '+tcp', 'www.example.test', 'AAAA')).toBe('2001:db8::10\n')
      // Cut over UDP, and whole over TCP.
      expect((await ask(guest, server, 'big.example.test', 'TXT')).match(/x{200}/g)).toHaveLength(40)
    }
  })

  it('guests find each other and the gateway by name and address', async () => {
    expect(await ask(first, server, '+short', 'guest2.guest')).toBe(`${second.message.ipv4}\n`)
    expect(await ask(second, server, '+short', '+tcp', 'guest1.guest', 'AAAA')).toBe(
      `${first.message.ipv6}\n`,
    )
    expect(await ask(first, server, '+short', '-x', second.message.ipv6)).toBe('guest2.guest.\n')
    expect(await ask(first, server, '+short', 'host.guest')).toBe(`${GATEWAY.ipv4}\n`)
  })
})

it('a flood from one guest is dropped and counted, and the other guest is served meanwhile', async () => {
  const { id, ipv4 } = first.message
  const before = (await engine.drops(id)).rate ?? 0
  await using socket = await datagramsIn(first.namespace, { address: ipv4, port: 0 })
  const query = Buffer.from('0001010000010000000000000377656205677565737400' + '00010001', 'hex')
  for (let count = 0; count < 3000; count++) socket.send(query, 53, GATEWAY.ipv4)
  for (let count = 0; count < 5; count++) {
    expect(await ask(second, GATEWAY.ipv4, '+short', 'www.example.test')).toBe('192.0.2.10\n')
  }
  await vi.waitFor(
    async () => expect((await engine.drops(id)).rate ?? 0).toBeGreaterThan(before + 300),
    10_000,
  )
})

it('a fifth connection of a guest is closed and counted', async () => {
  const { id } = second.message
  const connections = Array.from({ length: 5 }, () =>
    connectIn(second.namespace, { address: GATEWAY.ipv4, port: 53 }).resume(),
  )
  await Promise.race(connections.map((socket) => once(socket, 'close')))
  expect((await engine.drops(id)).rate).toBeGreaterThanOrEqual(1)
  for (const socket of connections) socket.destroy()
  await vi.waitFor(async () => {
    expect(await ask(second, GATEWAY.ipv4, '+short', '+tcp', 'guest1.guest')).toBe(`${first.message.ipv4}\n`)
  }, 10_000)
})

it('a guest that is gone has no name', async () => {
  const third = await engine.addGuest()
  const { id, name, ipv4 } = third.message
  expect(await ask(first, GATEWAY.ipv4, '+short', `${name}.guest`)).toBe(`${ipv4}\n`)
  await engine.removeGuest(id)
  expect(await ask(first, GATEWAY.ipv4, `${name}.guest`)).toContain('status: NXDOMAIN')
})

it('the engine follows the resolver of the host, confined as it is', async () => {
  const other = '10.99.0.3'
  await lab.world.ip('address', 'add', `${other}/24`, 'dev', 'wire')
  const records = ['--host-record=www.example.test,192.0.2.20']
  lab.use(await startDnsmasq(other, 53, { namespace: lab.world, records }))
  const mounts = `--mount=/proc/${engine.pid}/ns/mnt`
  for (const [server, answer] of [
    [other, '192.0.2.20'],
    [WORLD.ipv4, '192.0.2.10'],
  ] as const) {
    await run('nsenter', mounts, 'sh', '-c', `echo nameserver ${server} > /etc/resolv.conf`)
    await vi.waitFor(async () => {
      expect(await ask(first, GATEWAY.ipv4, '+short', 'www.example.test')).toBe(`${answer}\n`)
    }, 10_000)
  }
})

it('a restarted engine resolves again', async () => {
  await engine.kill()
  await engine.start()
  await vi.waitFor(async () => {
    expect(await ask(first, GATEWAY.ipv4, '+short', 'www.example.test')).toBe('192.0.2.10\n')
  }, 5000)
})
