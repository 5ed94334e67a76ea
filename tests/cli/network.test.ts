// The network's commands with real guests: a web server in one, reached from the host and from others, looked at while
// it serves, and what a person is told where something cannot be.
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { GuestDetails, NetworkFlow, NetworkList, NetworkStats } from '../../core/api/methods.ts'
import { image, LabHost } from './lab-host.ts'

let host: LabHost
let web: GuestDetails
beforeAll(async () => {
  host = await LabHost.start()
  const serve =
    'mkdir /www; echo "hello from the guest" > /www/index.html; nc -ll -p 81 -e cat & httpd -f -p 80 -h /www'
  const ports = ['-p', '8080:80', '-p', '0.0.0.0:8081-8082:80-81', '-p', '53/udp']
  const run = ['run', '-d', '--name', 'web', ...ports, image, 'sh', '-c', serve]
  const { status, stderr } = await host.bulkhead(run)
  if (status !== 0) throw new Error(`The guest did not come up: ${stderr}\n${await host.lab.story()}`)
  web = await inspect('web')
})
afterAll(async () => {
  await host.bulkhead(['rm', '-f', 'web'])
  const left = await host.leftBehind()
  await host[Symbol.asyncDispose]()
  expect(left).toEqual([])
})
const inspect = async (name: string): Promise<GuestDetails> => {
  const [details]: GuestDetails[] = JSON.parse((await host.bulkhead(['inspect', name])).stdout)
  if (details === undefined) throw new Error(`There is no guest ${name}`)
  return details
}
const json = async <T>(...words: string[]): Promise<T> =>
  JSON.parse((await host.bulkhead([...words, '--json'])).stdout) as T
const request = 'GET / HTTP/1.0\r\n\r\n'
/** Asks for the page from dom0. */
const fetchAt = async (address: string, port: number) => {
  const script = `exec 3<>/dev/tcp/${address}/${port} && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3`
  const { stdout, code } = await host.lab.exec(`bash -c "${script.replaceAll('\\', '\\\\')}"`)
  return { code, page: stdout.split('\r\n\r\n')[1] }
}
const page = { code: 0, page: 'hello from the guest\n' }

describe('a published port', () => {
  it('is shown as docker shows it, and leads from the host into the guest', async () => {
    const chosen = web.network.ports.find(({ protocol }) => protocol === 'udp')?.hostPort ?? 0
    expect(chosen).toBeGreaterThan(0)
    expect(await host.bulkhead(['port', 'web'])).toMatchObject({
      status: 0,
      stdout: [
        `53/udp -> 127.0.0.1:${chosen}`,
        `53/udp -> [::1]:${chosen}`,
        '80/tcp -> 127.0.0.1:8080',
        '80/tcp -> [::1]:8080',
        '80/tcp -> 0.0.0.0:8081',
        '81/tcp -> 0.0.0.0:8082',
        '',
      ].join('\n'),
    })
    expect((await host.bulkhead(['ps'])).stdout).toContain(
      '127.0.0.1:8080->80/tcp, [::1]:8080->80/tcp, 0.0.0.0:8081-8082->80-81/tcp',
    )
    expect(await fetchAt('127.0.0.1', 8080)).toEqual(page)
    expect(await fetchAt('::1', 8080)).toEqual(page)
    expect(await fetchAt('127.0.0.1', 8081)).toEqual(page)
  })

  it('comes and goes while the guest runs', async () => {
    expect(await host.bulkhead(['net', 'publish', 'web', '127.0.0.1:9000:80'])).toMatchObject({
      status: 0,
      stdout: '80/tcp -> 127.0.0.1:9000\n',
    })
    expect(await fetchAt('127.0.0.1', 9000)).toEqual(page)
    expect(await host.bulkhead(['net', 'unpublish', 'web', '9000:80'])).toMatchObject({ status: 0 })
    expect((await fetchAt('127.0.0.1', 9000)).code).not.toBe(0)
    expect((await host.bulkhead(['port', 'web', '80'])).stdout).not.toContain('9000')
  })

  it('that is taken is told in one sentence, and no guest is left', async () => {
    const { status, stdout, stderr } = await host.bulkhead(['run', '--rm', '-p', '8080:80', image, 'true'])
    expect([status, stdout]).toEqual([125, ''])
    expect(stderr).toMatch(/^bulkhead: .*8080.*\n/)
    expect((await host.bulkhead(['ps', '-aq'])).stdout.trim().split('\n')).toHaveLength(1)
  })
})

describe('bulkhead net', () => {
  it('lists the guest with its addresses', async () => {
    const { mac, ipv4, ipv6 } = web.network
    const { stdout } = await host.bulkhead(['net', 'ls'])
    expect(stdout).toMatch(
      /^NAME +STATE +IPV4 +IPV6 +MAC +PORTS\nweb +up +10\.75\.\d+\.\d+ +fdd4:1476:6c7e::/,
    )
    for (const address of [mac, ipv4, ipv6]) expect(stdout).toContain(address)
    const { gateway, engine } = await json<NetworkList>('net', 'ls')
    expect(gateway).toEqual({ mac: '02:42:4b:00:00:01', ipv4: '10.75.0.1', ipv6: 'fdd4:1476:6c7e::1' })
    expect(engine).toMatchObject({ state: 'running' })
  })

  it('connects to a port that is not published', async () => {
    const { status, stdout, stderr } = await host.bulkhead(['net', 'connect', 'web', '80'], {
      input: request,
    })
    expect([status, stdout.split('\r\n\r\n')[1], stderr]).toEqual([0, page.page, ''])
  })

  it('says that nobody listens', async () => {
    const { status, stdout, stderr } = await host.bulkhead(['net', 'connect', 'web', '4444'])
    expect([status, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(
      /^bulkhead: Cannot connect to port 4444 of the guest: nobody took the connection\n/,
    )
  })

  it('shows a connection while it is open, carries both directions, and ends with both', async () => {
    const before = await json<NetworkStats>('net', 'stats', 'web')
    const input = new PassThrough()
    const echo = host.start(['net', 'connect', 'web', '81'], { input })
    input.write('hello\n')
    await echo.said('hello\n')
    const flows = await json<NetworkFlow[]>('net', 'flows', 'web')
    const end = `${web.network.ipv4}:81`
    expect(flows.find(({ guestEnd }) => guestEnd === end)).toMatchObject({
      name: 'web',
      protocol: 'tcp',
      direction: 'in',
      state: 'established',
    })
    expect((await host.bulkhead(['net', 'flows', 'web'])).stdout).toContain(end)
    input.end('bye\n')
    expect(await echo.finish()).toMatchObject({ status: 0, stdout: 'hello\nbye\n', stderr: '' })
    const after = await json<NetworkStats>('net', 'stats', 'web')
    expect(after.guests[0]?.flowsOpened).toBeGreaterThan(before.guests[0]?.flowsOpened ?? 0)
    expect((await host.bulkhead(['net', 'stats'])).stdout).toMatch(/\nweb .*\n\nENGINE MEMORY/)
  })

  it('captures frames that tshark reads, with whole checksums', async () => {
    const capture = host.start(['net', 'capture', 'web'])
    const bytes: Buffer[] = []
    const begun = new Promise<void>((resolve) => {
      capture.child.stdout?.on('data', (chunk: Buffer) => {
        bytes.push(chunk)
        resolve()
      })
    })
    await begun
    expect(await fetchAt('127.0.0.1', 8080)).toEqual(page)
    capture.child.kill('SIGINT')
    const { status, stderr } = await capture.finish()
    expect([status, stderr]).toEqual([0, expect.stringMatching(/^\d+ frames captured\n$/)])
    const path = join(host.folder, 'web.pcapng')
    writeFileSync(path, Buffer.concat(bytes))
    const frames = readCapture(path)
    expect(frames.trim().split('\n')).toHaveLength(Number.parseInt(stderr, 10))
    expect(frames).toMatch(/HTTP\/1\.[01] 200 OK/)
    expect(frames).not.toMatch(/incorrect|bad checksum/i)
  })
})

describe('a guest', () => {
  it('that is kept apart finds and reaches nobody, and has the resolver that was asked for', async () => {
    const script = [
      "grep -E '^(search|options)' /etc/resolv.conf",
      'nslookup web.guest 10.75.0.1 | grep -c NXDOMAIN',
      `nc -w 5 ${web.network.ipv4} 80 </dev/null || echo no`,
    ]
    const options = ['--no-guest-traffic', '--dns-search', 'lan.example', '--dns-option', 'ndots:2']
    const words = ['run', '--rm', ...options, image, 'sh', '-c', script.join('\n')]
    expect((await host.bulkhead(words)).stdout).toMatch(/^search lan\.example\noptions ndots:2\n[1-9]\nno\n$/)
  })

  it('without a network has its own loopback only', async () => {
    const words = ['run', '--rm', '--network', 'none', image, 'ls', '/sys/class/net']
    expect(await host.bulkhead(words)).toMatchObject({ status: 0, stdout: 'lo\n' })
  })
})

/** tshark's lines, with checksums verified. */
function readCapture(path: string): string {
  const check = ['tcp', 'udp', 'ip'].flatMap((protocol) => ['-o', `${protocol}.check_checksum:TRUE`])
  return execFileSync('tshark', ['-r', path, ...check], { encoding: 'utf8', stdio: 'pipe' })
}
