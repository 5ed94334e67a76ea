import { describe, expect, it } from 'vitest'
import type { GuestTraffic, NetworkFlow, NetworkList, PublishedPort } from '../../../core/api/methods.ts'
import { runCommand, setUpForEach } from '../command-line.fixture.ts'
import { flowTable } from './net-flows.ts'
import { networkTable } from './net-ls.ts'
import { trafficTable } from './net-stats.ts'

const id = 'ab'.repeat(32)
const { start } = setUpForEach()
const web: PublishedPort = { protocol: 'tcp', bind: '127.0.0.1', hostPort: 8080, guestPort: 80 }
const dns: PublishedPort = { protocol: 'udp', bind: '', hostPort: 5353, guestPort: 53 }
const withPorts = (ports: PublishedPort[]) => ({
  'guests.inspect': () => ({ id, name: 'web', network: { kind: 'nat', guests: true, ports, policy: [] } }),
  'network.publish': () => ({ ports }),
  'network.unpublish': () => ({}),
})

describe('bulkhead port', () => {
  it.each([
    [['port', 'web'], '53/udp -> 127.0.0.1:5353\n53/udp -> [::1]:5353\n80/tcp -> 127.0.0.1:8080\n'],
    [['port', 'web', '80'], '127.0.0.1:8080\n'],
    [['port', 'web', '53/udp'], '127.0.0.1:5353\n[::1]:5353\n'],
  ])('%j says it as docker does', async (words, stdout) => {
    const { socketPath } = await start({ methods: withPorts([web, dns]) })
    expect(await runCommand(words, { socketPath })).toMatchObject({ status: 0, stdout, stderr: '' })
  })

  it('says so where nothing leads to a port', async () => {
    const { socketPath } = await start({ methods: withPorts([web]) })
    expect(await runCommand(['port', 'web', '80/udp'], { socketPath })).toMatchObject({
      status: 1,
      stdout: '',
      stderr:
        'bulkhead: Port 80/udp of guest "web" is not published\n  Open it with: bulkhead net publish web HOST:80/udp\n',
    })
  })

  it('asks for one port', async () => {
    expect(await runCommand(['port', 'web', '80-81'])).toMatchObject({ status: 2, stdout: '' })
  })
})

describe('bulkhead net publish', () => {
  it('asks for all ports at once and prints where they are', async () => {
    const { socketPath, calls } = await start({ methods: withPorts([web]) })
    const finished = await runCommand(['net', 'publish', 'web', '127.0.0.1:8080:80', '9000'], { socketPath })
    expect(finished).toMatchObject({ status: 0, stdout: '80/tcp -> 127.0.0.1:8080\n' })
    expect(calls).toEqual([
      {
        method: 'network.publish',
        params: { guest: 'web', ports: [web, { protocol: 'tcp', bind: '', hostPort: 0, guestPort: 9000 }] },
      },
    ])
  })
})

describe('bulkhead net unpublish', () => {
  const everywhere: PublishedPort = { ...web, bind: '0.0.0.0' }

  it.each([
    [['127.0.0.1:8080:80'], [web]],
    [['8080:80'], [web, everywhere]],
    [['80'], [web, everywhere]],
    [
      ['53/udp', '0.0.0.0::80'],
      [dns, everywhere],
    ],
    [['--all'], [web, everywhere, dns]],
  ])('finds what %j means', async (words, ports) => {
    const { socketPath, calls } = await start({ methods: withPorts([web, everywhere, dns]) })
    expect(await runCommand(['net', 'unpublish', 'web', ...words], { socketPath })).toMatchObject({
      status: 0,
      stdout: '',
      stderr: '',
    })
    expect(calls[1]).toEqual({ method: 'network.unpublish', params: { guest: id, ports } })
  })

  it('closes nothing where one of them is not open', async () => {
    const { socketPath, calls } = await start({ methods: withPorts([web]) })
    const { status, stderr } = await runCommand(['net', 'unpublish', 'web', '80', '81'], { socketPath })
    expect([status, stderr.split('\n')[0]]).toEqual([1, 'bulkhead: Guest "web" has no published port 81'])
    expect(calls).toHaveLength(1)
  })

  it('wants to be told which', async () => {
    expect(await runCommand(['net', 'unpublish', 'web'])).toMatchObject({ status: 2 })
    expect(await runCommand(['net', 'unpublish', 'web', '80', '--all'])).toMatchObject({ status: 2 })
  })
})

describe('bulkhead net ls', () => {
  const guests: NetworkList['guests'] = [
    {
      id,
      name: 'web',
      isRunning: true,
      kind: 'nat',
      mac: '00:16:3e:3b:1c:5c',
      ipv4: '10.75.92.31',
      ipv6: 'fdd4:1476:6c7e::a4b:5c1f',
      guests: true,
      ports: [web],
      policy: [],
    },
    { id, name: 'alone', isRunning: false, kind: 'none', guests: true, ports: [], policy: [] },
  ]

  it('is a table', () => {
    expect(networkTable(guests)).toBe(
      'NAME    STATE   IPV4          IPV6                       MAC                 PORTS\n' +
        'web     up      10.75.92.31   fdd4:1476:6c7e::a4b:5c1f   00:16:3e:3b:1c:5c   127.0.0.1:8080->80/tcp\n' +
        'alone   none    -             -                          -\n',
    )
  })

  it('says that the engine does not run', async () => {
    const engine = { state: 'failed', restarts: 3, message: 'Cannot start the network engine: it ended' }
    const { socketPath } = await start({ methods: { 'network.list': () => ({ guests: [], engine }) } })
    expect(await runCommand(['net', 'ls'], { socketPath })).toMatchObject({
      status: 0,
      stderr: 'bulkhead: The network engine does not run: Cannot start the network engine: it ended\n',
    })
  })
})

describe('bulkhead net stats', () => {
  const traffic: GuestTraffic = {
    guest: id,
    name: 'web',
    inBytes: 2_500_000,
    outBytes: 999,
    inFrames: 1700,
    outFrames: 12,
    tcpFlows: 3,
    udpFlows: 1,
    pingFlows: 0,
    flowsOpened: 40,
    retransmissions: 2,
    drops: { policy: 3, 'bad-checksum': 0, 'spoofed-source': 12 },
  }

  it('is a table with the reasons of drops', () => {
    const [, row] = trafficTable([traffic]).split('\n')
    expect(row?.split(/ {2,}/)).toEqual([
      'web',
      '2.5MB',
      '999B',
      '1700',
      '12',
      '3',
      '1',
      '0',
      '40',
      '2',
      '12 spoofed-source, 3 policy',
    ])
  })

  it('shows the engine beside all guests only', async () => {
    const engine = { residentBytes: 5e7, cpuTimeMs: 1234, flows: 4, poolBytes: 65536, descriptors: 21 }
    const { socketPath, calls } = await start({
      methods: { 'network.stats': () => ({ guests: [traffic], engine }) },
    })
    const all = await runCommand(['net', 'stats'], { socketPath })
    const one = await runCommand(['net', 'stats', 'web'], { socketPath })
    expect(all.stdout).toMatch(/\n\nENGINE MEMORY .*\n50MB {12}1\.2s {7}4 {7}65\.5kB {11}21\n$/)
    expect(one.stdout).not.toContain('ENGINE')
    expect(calls.map(({ params }) => params)).toEqual([{}, { guest: 'web' }])
  })
})

describe('bulkhead net flows', () => {
  it('is a table with who opened each', () => {
    const flow: NetworkFlow = {
      guest: id,
      name: 'web',
      protocol: 'tcp',
      direction: 'out',
      guestEnd: '10.75.92.31:40000',
      remoteEnd: '[2001:db8::1]:443',
      state: 'established',
      inBytes: 1000,
      outBytes: 20,
      ageMs: 61_000,
      idleMs: 900,
    }
    expect(flowTable([flow, { ...flow, direction: 'in', state: 'half-closed' }])).toBe(
      'NAME   PROTO   GUEST                    REMOTE              STATE         IN    OUT   AGE   IDLE\n' +
        'web    tcp     10.75.92.31:40000   ->   [2001:db8::1]:443   established   1kB   20B   1m    0s\n' +
        'web    tcp     10.75.92.31:40000   <-   [2001:db8::1]:443   half-closed   1kB   20B   1m    0s\n',
    )
  })
})

describe('bulkhead run --publish-all', () => {
  const coreWith = async (exposedPorts: string[]) =>
    await start({
      methods: {
        'images.inspect': () => ({ run: { exposedPorts } }),
        'guests.create': () => ({ id, name: 'web', warnings: [] }),
        'guests.start': () => ({}),
      },
    })

  it('publishes what the image exposes, and what --expose adds, where the host chooses', async () => {
    const { socketPath, calls } = await coreWith(['80/tcp', '443', '5000/sctp'])
    const words = ['run', '-dP', '-p', '8080:80', '--expose', '53/udp', '--network', 'nat', 'nginx']
    expect(await runCommand(words, { socketPath })).toMatchObject({ status: 0, stderr: '' })
    const chosen = { bind: '', hostPort: 0 }
    expect(calls[1]?.params.network).toEqual({
      kind: 'nat',
      ports: [
        { protocol: 'tcp', bind: '', hostPort: 8080, guestPort: 80 },
        { protocol: 'tcp', ...chosen, guestPort: 443 },
        { protocol: 'udp', ...chosen, guestPort: 53 },
      ],
    })
  })

  it('says so where there are none', async () => {
    const { socketPath, calls } = await coreWith([])
    expect(await runCommand(['run', '-d', '--publish-all', 'busybox'], { socketPath })).toMatchObject({
      status: 0,
      stderr: 'bulkhead: No ports were published: the image busybox exposes none\n',
    })
    expect(calls[1]?.params).not.toHaveProperty('network')
  })
})

describe('wrong words', () => {
  it.each([
    [['run', '--network', 'host', 'busybox'], 125, "Cannot put a guest on the host's own network"],
    [['run', '-p', '80:80:80:80', 'busybox'], 125, 'Cannot publish "80:80:80:80": an IPv6 address'],
    [['run', '--deny', 'example.org', 'busybox'], 125, 'Cannot use --deny "example.org": '],
    [['net', 'publish', 'web', 'x'], 2, 'Cannot publish "x": "x" is no port'],
    [['net'], 2, '"bulkhead net" needs a word behind it'],
  ])('%j are told before anything is asked', async (words, status, sentence) => {
    const finished = await runCommand(words, { socketPath: '/nowhere' })
    expect([finished.status, finished.stdout]).toEqual([status, ''])
    expect(finished.stderr).toContain(`bulkhead: ${sentence}`)
  })
})
