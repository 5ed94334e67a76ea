// What ends under guests that have a network, on real Xen: the core host, and the kernel's driver. `npm run soak`.

import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest'
import type { GuestDetails } from '../../core/api/methods.ts'
import { image, LabHost } from '../cli/lab-host.ts'

let host: LabHost
beforeAll(async () => {
  host = await LabHost.start()
})
afterAll(() => host?.[Symbol.asyncDispose]())

/** A port that nobody has, on this machine and in dom0. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}

async function inDom0(script: string): Promise<string> {
  const { stdout, stderr, code } = await host.lab.exec(script)
  if (code !== 0) throw new Error(`In dom0, status ${code}: ${script}\n${stderr}`)
  return stdout
}

/** Pids of the network engine; the bracket keeps grep and its shell from finding themselves. */
const enginePids = () => inDom0('grep -la "net-engin[e].js" /proc/[0-9]*/cmdline | cut -d/ -f3')

test('the core host is killed: a guest is reached meanwhile, and has its network afterwards', async () => {
  onTestFailed(async () => console.error(await host.lab.story()))
  const port = await freePort()
  const serve = 'mkdir /www; echo "still here" > /www/index.html; httpd -f -p 80 -h /www'
  const words = ['run', '-d', '--name', 'lasting', '-p', `${port}:80`, image, 'sh', '-c', serve]
  expect(await host.bulkhead(words)).toMatchObject({ status: 0 })
  const fetchPage = () => inDom0(`until wget -q -O - http://127.0.0.1:${port}/; do sleep 0.1; done`)
  expect(await fetchPage()).toBe('still here\n')
  const pids = await enginePids()
  expect(pids).toMatch(/^\d+\n/)
  await host.lab.killCore()
  expect(await fetchPage()).toBe('still here\n')
  await host.lab.coreReady()
  expect(await enginePids()).toBe(pids)
  const [details]: GuestDetails[] = JSON.parse((await host.bulkhead(['inspect', 'lasting'])).stdout)
  expect(details?.state).toBe('running')
  expect(await fetchPage()).toBe('still here\n')
  const second = await freePort()
  await host.bulkhead(['net', 'publish', 'lasting', `${second}:80`])
  expect(await inDom0(`wget -q -O - http://127.0.0.1:${second}/`)).toBe('still here\n')
  await host.bulkhead(['rm', '-f', 'lasting'])
  expect(await host.leftBehind()).toEqual([])
})

test('without xen-netback a guest with a network is refused in one sentence, and one without runs', async () => {
  await inDom0('rmmod xen-netback')
  const refused = await host.bulkhead(['run', '--rm', image, 'true'])
  expect(refused.status).toBe(125)
  expect(refused.stderr).toMatch(
    /Cannot give guest "[^"]+" a network: dom0's kernel has no xen-netback loaded/,
  )
  const without = await host.bulkhead(['run', '--rm', '--network', 'none', image, 'echo', 'runs'])
  expect(without).toMatchObject({ status: 0, stdout: 'runs\n' })
  await inDom0('modprobe xen-netback')
  const again = await host.bulkhead(['run', '--rm', image, 'cat', '/sys/class/net/eth0/mtu'])
  expect(again).toMatchObject({ status: 0, stdout: '1500\n' })
})
