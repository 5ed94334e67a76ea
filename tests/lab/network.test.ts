// The network of guests on real Xen: from netfront in the guest over netback, the namespace of the vifs and the engine to
// the world outside, and back.

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo, Server } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFailed, test } from 'vitest'
import type { GuestDetails } from '../../core/api/methods.ts'
import { LabHost } from '../cli/lab-host.ts'
import { GuestShell } from './support/guest-shell.ts'
import { networkImage, writeNetworkImage } from './support/network-image.ts'
import { dom0InWorld, startWorld, world } from './support/world.ts'

const namespacePath = '/run/bulkhead/netns'
const MIB = 1024 * 1024

let host: LabHost
/** Of dom0 and, as long as the lab runs, of this machine. */
let webPort = 0
let web: GuestShell
let client: GuestShell

beforeAll(async () => {
  host = await LabHost.start()
  const archive = join(host.folder, 'network.tar')
  const [, imported] = await Promise.all([
    startWorld(host.lab),
    writeNetworkImage(archive).then(() => host.bulkhead(['import', archive])),
  ])
  if (imported.status !== 0) throw new Error(imported.stderr)
  const start = (name: string, ...options: string[]) =>
    GuestShell.start(host, { name, image: networkImage, options })
  webPort = await freePort()
  const ports = [
    `${webPort}:80`,
    `${dom0InWorld.ipv4}:8081:80`,
    `${dom0InWorld.ipv4}:5201:5201`,
    `${dom0InWorld.ipv4}:5201:5201/udp`,
  ]
  const options = ports.flatMap((port) => ['-p', port])
  ;[web, client] = await Promise.all([start('web', ...options), start('client')])
})
afterAll(() => host?.[Symbol.asyncDispose]())

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

async function freePort(): Promise<number> {
  const server = createServer()
  const port = await listen(server)
  server.close()
  return port
}

async function inspect(name: string): Promise<GuestDetails> {
  const [details]: GuestDetails[] = JSON.parse((await host.bulkhead(['inspect', name])).stdout)
  if (details === undefined) throw new Error(`There is no guest ${name}`)
  return details
}

/** A guest's download of so many bytes from the world, by its hash, beside what the world says of them. */
async function download(
  guest: GuestShell,
  size: number,
  address: string = world.ipv4,
  between = '',
): Promise<string[]> {
  const there = await guest.ask(`wget -q -O - http://${address}/hash/${size}`)
  const here = await guest.ask(`wget -q -O - http://${address}/bytes/${size} | (${between}sha256sum)`)
  return [there.trim(), here.split(' ')[0] ?? '']
}

/** The same the other way. */
async function upload(guest: GuestShell, size: number, address: string = world.ipv4): Promise<string[]> {
  // Text: to busybox's wget the end of a file is its first zero byte.
  const make = `head -c ${Math.floor(size * 0.75)} /dev/urandom | base64 > /tmp/sent; sha256sum < /tmp/sent`
  const here = await guest.ask(make)
  const there = await guest.ask(`wget -q -O - --post-file /tmp/sent http://${address}/`)
  return [there.trim(), here.split(' ')[0] ?? '']
}

/** In dom0; what must not fail. */
async function inDom0(script: string): Promise<string> {
  const { stdout, stderr, code } = await host.lab.exec(script)
  if (code !== 0) throw new Error(`In dom0, status ${code}: ${script}\n${stderr}`)
  return stdout
}

/** Of guests; the cable to the world is the test's own. */
async function leftBehind(): Promise<string[]> {
  return (await host.leftBehind()).filter((trace) => trace !== 'interface world0')
}

function told(): void {
  onTestFailed(async () => console.error(await host.lab.story()))
}

describe('a guest', () => {
  test('has its addresses, and the gateway answers it in both families', async () => {
    told()
    const { network } = await inspect('client')
    const shown = await client.ask('ip address show dev eth0; ip route; ip -6 route; cat /etc/resolv.conf')
    expect(shown).toContain(`link/ether ${network.mac}`)
    expect(shown).toContain(`inet ${network.ipv4}/32`)
    expect(shown).toContain(`inet6 ${network.ipv6}/128`)
    expect(shown).toContain('default via 10.75.0.1 dev eth0')
    expect(shown).toContain('nameserver 10.75.0.1\n')
    expect(await client.ask('ping -c 3 10.75.0.1')).toContain('3 packets received')
    expect(await client.ask('ping -6 -c 3 fdd4:1476:6c7e::1')).toContain('3 packets received')
    expect(await client.ask('ping -6 -c 1 -I eth0 fe80::1')).toContain('1 packets received')
  })

  test('has the other end of its wire in our namespace, without addresses, and dom0 sees nothing of it', async () => {
    expect(await inDom0('ip -o link')).not.toContain('vif')
    const inside = await inDom0(`nsenter --net=${namespacePath} ip address`)
    expect(inside.match(/vif\d+\.0: <[^>]*\bUP,LOWER_UP\b/g)).toHaveLength(2)
    expect(inside).not.toContain('inet')
  })

  test.each([
    ['IPv4', world.ipv4],
    ['IPv6', `[${world.ipv6}]`],
  ])('exchanges megabytes with the world over %s, byte for byte', async (_, address) => {
    told()
    const [offered, received] = await download(client, 2 * MIB + 12_345, address)
    expect(received).toBe(offered)
    const [arrived, sent] = await upload(client, 2 * MIB + 12_345, address)
    expect(arrived).toBe(sent)
  })

  test('reaches the world by name and by ping', async () => {
    told()
    expect(await client.ask('nslookup -type=a www.example.test')).toContain(`Address: ${world.ipv4}`)
    expect(await client.ask('wget -q -O - http://www.example.test/')).toContain(dom0InWorld.ipv4)
    expect(await client.ask(`ping -c 2 ${world.ipv4}`)).toContain('2 packets received')
    expect(await client.ask(`ping -6 -c 2 ${world.ipv6}`)).toContain('2 packets received')
  })

  test('reaches what is beyond the lab: this machine, where a server listens', async () => {
    const server = createServer((_request, response) => response.end('from beyond\n'))
    const port = await listen(server)
    try {
      expect(await client.ask(`wget -q -O - http://10.0.2.2:${port}/`)).toBe('from beyond\n')
    } finally {
      server.close()
    }
  })

  test('does not reach dom0, by whichever of its addresses', async () => {
    told()
    const serve = 'httpd -p 8000 -h /boot; httpd -p [::]:8001 -h /boot'
    await inDom0(`busybox sh -c '${serve}'; wget -q -O /dev/null http://127.0.0.1:8000/vmlinuz`)
    const { ipv4, ipv6 } = dom0InWorld
    for (const address of [
      '10.0.2.15:8000',
      `${ipv4}:8000`,
      `[${ipv6}]:8001`,
      '169.254.1.1:8000',
      '10.75.0.1:8000',
    ]) {
      const { status, output } = await client.run(`timeout 5 wget -O /dev/null http://${address}/vmlinuz`)
      expect(status, output).not.toBe(0)
    }
    // What the device in dom0 and dom0's own network card would be called on the link if its kernel spoke there.
    for (const address of ['fe80::fcff:ffff:feff:ffff', 'fe80::5054:ff:fe12:3456'])
      expect((await client.run(`ping -6 -c 1 -W 2 -I eth0 ${address}`)).status).not.toBe(0)
  })

  test.each(['tso', 'tx', 'sg', 'gro'])('works without %s', async (feature) => {
    told()
    await client.ask(`ethtool -K eth0 ${feature} off`)
    try {
      const [offered, received] = await download(client, MIB)
      expect(received).toBe(offered)
      const [arrived, sent] = await upload(client, MIB)
      expect(arrived).toBe(sent)
    } finally {
      await client.ask(`ethtool -K eth0 ${feature} on`)
    }
  })

  test('loses nothing where it stops reading for a while', async () => {
    told()
    const [offered, received] = await download(client, 2 * MIB, world.ipv4, 'sleep 2; ')
    expect(received).toBe(offered)
  })

  test('loses nothing on a wire that loses frames', async () => {
    told()
    const { domid } = await inspect('client')
    const wire = `nsenter --net=${namespacePath} tc qdisc`
    await inDom0(`${wire} add dev vif${domid}.0 root netem loss 3% delay 2ms`)
    try {
      const [offered, received] = await download(client, MIB)
      expect(received).toBe(offered)
      const [arrived, sent] = await upload(client, MIB)
      expect(arrived).toBe(sent)
    } finally {
      await inDom0(`${wire} del dev vif${domid}.0 root`)
    }
  })
})

describe('iperf3', () => {
  beforeAll(async () => {
    await inDom0('ip netns exec world iperf3 -s -D')
    await web.ask('iperf3 -s -D')
  })

  interface Measured {
    readonly error?: string
    readonly end: {
      readonly sum_received?: { readonly bytes: number }
      readonly sum?: { readonly bytes: number }
    }
  }
  const carried = (text: string) => {
    const { error, end } = JSON.parse(text) as Measured
    return error ?? end.sum_received?.bytes ?? end.sum?.bytes ?? 0
  }

  test.each([
    ['TCP from the guest', `-c ${world.ipv4}`],
    ['TCP to the guest', `-c ${world.ipv4} -R`],
    ['TCP over IPv6 both ways', `-c ${world.ipv6} --bidir`],
    ['UDP from the guest', `-c ${world.ipv4} -u -b 5M`],
    ['UDP to the guest', `-c ${world.ipv4} -u -b 5M -R`],
    ['UDP over IPv6', `-c ${world.ipv6} -u -b 5M`],
  ])('carries %s', async (_, words) => {
    told()
    expect(carried(await client.ask(`iperf3 -J -t 1 ${words}`))).toBeGreaterThan(1_000)
  })

  test('carries streams and datagrams through published ports', async () => {
    told()
    const measure = `ip netns exec world iperf3 -J -t 1 -c ${dom0InWorld.ipv4}`
    expect(carried(await inDom0(measure))).toBeGreaterThan(1_000)
    expect(carried(await inDom0(`${measure} -u -b 2M`))).toBeGreaterThan(1_000)
  })

  test('carries streams from one guest to the other', async () => {
    told()
    const { network } = await inspect('web')
    expect(carried(await client.ask(`iperf3 -J -t 1 -c ${network.ipv4}`))).toBeGreaterThan(1_000)
    expect(carried(await client.ask(`iperf3 -J -t 1 -c ${network.ipv6} -R`))).toBeGreaterThan(1_000)
  })
})

describe('a published port', () => {
  beforeAll(() =>
    web.ask('mkdir -p /srv/www; echo "from the guest" > /srv/www/index.html; httpd -h /srv/www'),
  )

  test('leads from the loopback of dom0 into the guest, in both families', async () => {
    told()
    expect(await inDom0(`wget -q -O - http://127.0.0.1:${webPort}/`)).toBe('from the guest\n')
    expect(await inDom0(`wget -q -O - http://[::1]:${webPort}/`)).toBe('from the guest\n')
  })

  test("keeps a client's address where it is not the host's own", async () => {
    told()
    await web.ask('httpd -f -vv -p 81 -h /srv/www > /tmp/clients 2>&1 &')
    const publish = ['net', 'publish', 'web', `${dom0InWorld.ipv4}:8082:81`]
    expect(await host.bulkhead(publish)).toMatchObject({ status: 0 })
    const url = `http://${dom0InWorld.ipv4}:8082/`
    expect(await inDom0(`ip netns exec world wget -q -O - ${url}`)).toBe('from the guest\n')
    expect(await web.ask('cat /tmp/clients')).toMatch(/192\.0\.2\.1\]?:\d+: url/)
  })

  test('is reached from the world where it is bound to an address of it', async () => {
    const url = `http://${dom0InWorld.ipv4}:8081/`
    expect(await inDom0(`ip netns exec world wget -q -O - ${url}`)).toBe('from the guest\n')
  })

  test('is reached on this machine, as the lab carries it', async () => {
    const { published } = await host.lab.status()
    expect(published).toContainEqual({ protocol: 'tcp', hostAddress: '127.0.0.1', hostPort: webPort })
    expect(await (await fetch(`http://127.0.0.1:${webPort}/`)).text()).toBe('from the guest\n')
  })
})

describe('two guests', () => {
  test('reach each other by name, in both families', async () => {
    told()
    expect(await client.ask('ping -c 2 web.guest')).toContain('2 packets received')
    expect(await client.ask('ping -6 -c 2 web.guest')).toContain('2 packets received')
    expect(await client.ask('wget -q -O - http://web/')).toBe('from the guest\n')
  })

  test('do not where one of them is kept apart', async () => {
    told()
    const apart = await GuestShell.start(host, {
      name: 'apart',
      image: networkImage,
      options: ['--no-guest-traffic'],
    })
    try {
      const { ipv4 } = (await inspect('apart')).network
      expect((await apart.run('timeout 5 wget -q -O - http://web.guest/')).status).not.toBe(0)
      expect((await client.run(`ping -c 1 -W 2 ${ipv4}`)).status).not.toBe(0)
      expect(await apart.ask(`ping -c 1 ${world.ipv4}`)).toContain('1 packets received')
    } finally {
      await apart.end()
    }
  })
})

describe('when something ends', () => {
  /** Pids of the network engine; the bracket keeps grep and its shell from finding themselves. */
  const enginePids = async () =>
    (await inDom0('grep -la "net-engin[e].js" /proc/[0-9]*/cmdline | cut -d/ -f3')).trim().split('\n')

  test('a guest in the middle of its traffic: the others go on, and nothing is left of it', async () => {
    told()
    const victim = await GuestShell.start(host, { name: 'victim', image: networkImage })
    const { domid } = await inspect('victim')
    await victim.ask(`wget -q -O /dev/null http://${world.ipv4}/endless >/dev/null 2>&1 &`)
    await victim.ask(
      'until [ $(cat /sys/class/net/eth0/statistics/rx_bytes) -gt 1000000 ]; do sleep 0.1; done',
    )
    await host.bulkhead(['rm', '-f', 'victim'])
    expect(await inDom0(`nsenter --net=${namespacePath} ip -o link`)).not.toContain(`vif${domid}.0`)
    const [offered, received] = await download(client, MIB)
    expect(received).toBe(offered)
  })

  test('the engine: what was open is reset, and new connections work', async () => {
    told()
    const pids = await enginePids()
    expect(pids).toHaveLength(1)
    const { domid } = await inspect('client')
    const counter = `nsenter --net=${namespacePath} cat /proc/net/dev | grep vif${domid}.0`
    // A sender: what it sends next meets the reset. One that only waits for bytes hears nothing: the new engine knows nothing of it.
    await inDom0('ip netns exec world iperf3 -s -D -p 5999')
    const broken = client.run(`iperf3 -t 600 -p 5999 -c ${world.ipv4}`)
    const before = await inDom0(counter)
    while ((await inDom0(counter)) === before);
    await inDom0(`kill -9 ${pids[0]}`)
    expect((await broken).status).not.toBe(0)
    const [offered, received] = await download(client, MIB)
    expect(received).toBe(offered)
    expect(await inDom0(`wget -q -O - http://127.0.0.1:${webPort}/`)).toBe('from the guest\n')
    expect(await enginePids()).not.toEqual(pids)
  })

  test('all guests: nothing is left of them', async () => {
    await Promise.all([web.end(), client.end()])
    expect(await leftBehind()).toEqual([])
    expect(await inDom0(`nsenter --net=${namespacePath} ip -o link`)).not.toContain('vif')
  })
})
