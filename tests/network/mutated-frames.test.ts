// A guest that sends lies of every kind, over the whole packet engine and real sockets of a namespace of its own: nothing is
// thrown, what the engine sends is well-formed, memory and flows stay within their limits, and the neighbour is served all
// the while. BULKHEAD_FUZZ_FRAMES says how many (the soak has a million), BULKHEAD_FUZZ_SEED which.

import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parseAddress } from '../../core/net/address.ts'
import { echoFrame } from '../../core/net/frame/guest-frames.fixture.ts'
import { EngineHarness, seen } from '../../core/net/packet/engine-harness.fixture.ts'
import { FrameMutator } from '../../core/net/packet/frame-mutator.fixture.ts'
import { ensureNamespace, inNamespace, removeNamespace } from '../../core/sys/network-namespace.ts'
import { PinnedBuffer } from '../../core/sys/pinned-buffer.ts'
import {
  AF_INET,
  AF_INET6,
  bindSocket,
  closeDescriptor,
  listenSocket,
  openSocket,
  SOCK_STREAM,
} from '../../core/sys/socket.ts'
import { writeSocketAddress } from '../../core/sys/socket-address.ts'

const FRAMES = Number(process.env.BULKHEAD_FUZZ_FRAMES ?? 30_000)
const SEED = Number(process.env.BULKHEAD_FUZZ_SEED ?? 1)
const BATCH = 40
const WORLD = ['10.99.0.1', '2001:db8:99::1', '10.99.0.77', '203.0.113.9']
const PORTS = [7000, 7001]
const limits = {
  tcpFlows: 256,
  tcpHalfOpen: 64,
  udpFlows: 128,
  allTcpFlows: 300,
  allUdpFlows: 150,
  poolBytes: 8 * 1024 * 1024,
  allOutOfOrderBytes: 8 * 1024 * 1024,
  outOfOrderBytes: 2 * 1024 * 1024,
}
const MOST_GROWTH_BYTES = 256 * 1024 * 1024

const path = `/run/netns/bulkhead-lies-${randomBytes(4).toString('hex')}`
const listeners: number[] = []

beforeAll(() => {
  ensureNamespace(path)
  const name = path.slice('/run/netns/'.length)
  const ip = (...words: readonly string[]) => execFileSync('ip', ['-n', name, ...words])
  inNamespace(path, () => execFileSync('sysctl', ['-q', '-w', 'net.ipv6.conf.all.disable_ipv6=0']))
  ip('link', 'set', 'lo', 'up')
  ip('link', 'add', 'world', 'type', 'veth', 'peer', 'name', 'nobody')
  ip('link', 'set', 'nobody', 'up')
  ip('link', 'set', 'world', 'up')
  ip('addr', 'add', '10.99.0.1/24', 'dev', 'world')
  ip('-6', 'addr', 'add', '2001:db8:99::1/64', 'dev', 'world', 'nodad')
  ip('route', 'add', 'default', 'via', '10.99.0.254')
  inNamespace(path, () => {
    const address = new PinnedBuffer(32)
    for (const bind of ['0.0.0.0', '::1'])
      for (const port of PORTS) {
        const fd = openSocket(bind.includes(':') ? AF_INET6 : AF_INET, SOCK_STREAM)
        const bytes = writeSocketAddress(address, ...parseAddress(bind), port)
        expect(bindSocket(fd, address, bytes)).toBe(0)
        expect(listenSocket(fd, 512)).toBe(0)
        listeners.push(fd)
      }
  })
})

afterAll(() => {
  for (const fd of listeners) closeDescriptor(fd)
  removeNamespace(path)
})

test(`${FRAMES} mutated frames of seed ${SEED} do no harm`, () => {
  inNamespace(path, () => {
    using harness = new EngineHarness(limits)
    const liar = harness.addGuest(3)
    const neighbour = harness.addGuest(4)
    const mutator = new FrameMutator({
      seed: SEED,
      mac: liar.mac,
      ipv4: liar.ipv4,
      ipv6: liar.ipv6,
      world: WORLD,
      ports: PORTS,
      neighbours: [neighbour.ipv4, neighbour.ipv6, '10.75.200.1'],
    })
    const ping = echoFrame(neighbour.ipv4, '10.75.0.1')
    ping.set(neighbour.mac, 16)
    const residentBefore = process.memoryUsage.rss()
    let mostFlows = 0
    for (let sent = 0; sent < FRAMES; sent += BATCH) {
      for (let count = 0; count < BATCH; count++) liar.device.push(mutator.next())
      harness.pass(sent % 7 === 0 ? 400 : 25)
      for (const frame of liar.take()) mutator.hear(frame)
      for (const frame of neighbour.take()) if ((frame[22] ?? 0) !== 8 || frame[23] !== 6) seen(frame)
      expect(neighbour.send(ping).some((frame) => seen(frame).icmp === '0/0')).toBe(true)
      neighbour.take()
      expect(harness.logged).toEqual([])
      if (sent % 2_000 !== 0) continue
      const stats = harness.engine.stats()
      mostFlows = Math.max(mostFlows, stats.flows)
      expect(stats.flows).toBeLessThanOrEqual(limits.allTcpFlows + limits.allUdpFlows + 64)
      expect(stats.poolBytes).toBeLessThanOrEqual(limits.poolBytes + limits.allOutOfOrderBytes)
    }
    expect(liar.drops.internal).toBeUndefined()
    // It went deep: flows were open, and frames were refused for all kinds of reasons.
    expect(mostFlows).toBeGreaterThan(10)
    expect(Object.keys(liar.drops).length).toBeGreaterThan(10)
    expect(process.memoryUsage.rss() - residentBefore).toBeLessThan(MOST_GROWTH_BYTES)
    // Everything is let go with the guest.
    harness.engine.removeGuest('guest-3')
    expect(harness.engine.stats().flows).toBe(0)
    for (const fd of harness.streams) closeDescriptor(fd)
  })
})
