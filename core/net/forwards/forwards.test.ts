import { execFileSync } from 'node:child_process'
import { closeSync, openSync, readdirSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ECONNREFUSED, ECONNRESET, EINPROGRESS } from '../../sys/errno.ts'
import { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import {
  AF_INET,
  AF_INET6,
  bindSocket,
  closeDescriptor,
  connectSocket,
  listenSocket,
  openSocket,
  receiveBytes,
  SOCK_STREAM,
  socketName,
} from '../../sys/socket.ts'
import { readSocketAddress, SocketAddress, writeSocketAddress } from '../../sys/socket-address.ts'
import { formatEnd, parseAddress } from '../address.ts'
import { gateway, gatewayIpv4, gatewayIpv6, guestWire } from '../gateway/guest-wire.fixture.ts'
import type { GuestPort } from '../guest-port.ts'
import { PacketLoop } from '../packet/packet-loop.ts'
import { type Forward, Forwards } from './forwards.ts'
import { makeVisible } from './visible-client.ts'

let nowMs = 1_000
let loop: PacketLoop
let forwards: Forwards
let place: GuestPort | undefined
let taken: { fd: number; from: string; guestPort: number }[]
const { port } = guestWire()
const descriptors: number[] = []

beforeEach(() => {
  loop = new PacketLoop({ clock: () => nowMs })
  place = port
  taken = []
  forwards = new Forwards(loop, {
    gateway,
    portOf: () => place,
    tcp: {
      openInbound: (_port, fd, word0, word1, word2, word3, remotePort, guestPort) => {
        taken.push({ fd, from: formatEnd([word0, word1, word2, word3], remotePort), guestPort })
      },
    },
    udp: {
      addForward: () => {
        throw new Error('No UDP here')
      },
      removeForward: () => {},
    },
  })
})

afterEach(() => {
  forwards[Symbol.dispose]()
  for (const fd of [...descriptors.splice(0), ...taken.map(({ fd }) => fd)]) closeDescriptor(fd)
  loop[Symbol.dispose]()
})

const address = new PinnedBuffer(32)

function named(fd: number): number {
  const name = new SocketAddress()
  socketName(fd, address)
  readSocketAddress(address, name)
  return name.port
}

function listener(host: string): { fd: number; forward: Forward } {
  const fd = openSocket(host.includes(':') ? AF_INET6 : AF_INET, SOCK_STREAM)
  const [word0, word1, word2, word3] = parseAddress(host)
  bindSocket(fd, address, writeSocketAddress(address, word0, word1, word2, word3, 0))
  listenSocket(fd, 512)
  return { fd, forward: { guest: 'a', protocol: 'tcp', bind: host, hostPort: named(fd), guestPort: 80 } }
}

/** Connects: a descriptor, and the port it has. */
function client(host: string, hostPort: number): { fd: number; port: number; failed: number } {
  const fd = openSocket(host.includes(':') ? AF_INET6 : AF_INET, SOCK_STREAM)
  descriptors.push(fd)
  const [word0, word1, word2, word3] = parseAddress(host)
  const failed = connectSocket(fd, address, writeSocketAddress(address, word0, word1, word2, word3, hostPort))
  return { fd, port: named(fd), failed }
}

function turnUntil(isDone: () => boolean): void {
  for (let turns = 0; turns < 100 && !isDone(); turns++) loop.turn(10)
}

describe('a published TCP port', () => {
  it.each([
    ['127.0.0.1', `${gatewayIpv4}`],
    ['::1', `[${gatewayIpv6}]`],
  ])('hands connections of %s on as the gateway’s', (host, seen) => {
    const { fd, forward } = listener(host)
    forwards.add(forward, fd)
    const one = client(host, forward.hostPort)
    const two = client(host, forward.hostPort)
    turnUntil(() => taken.length === 2)
    expect(taken.map(({ from, guestPort }) => [from, guestPort])).toEqual([
      [`${seen}:${one.port}`, 80],
      [`${seen}:${two.port}`, 80],
    ])
  })

  it('takes those who came before it was watched', () => {
    const { fd, forward } = listener('127.0.0.1')
    client('127.0.0.1', forward.hostPort)
    forwards.add(forward, fd)
    turnUntil(() => taken.length === 1)
    expect(taken).toHaveLength(1)
  })

  it('takes more than its share of a turn in the next', () => {
    const { fd, forward } = listener('127.0.0.1')
    for (let count = 0; count < 200; count++) client('127.0.0.1', forward.hostPort)
    forwards.add(forward, fd)
    loop.turn(0)
    // As many at its event, and once more at the end of the turn.
    expect(taken).toHaveLength(128)
    turnUntil(() => taken.length === 200)
    expect(taken).toHaveLength(200)
  })

  it('refuses while its guest has no wire', () => {
    const { fd, forward } = listener('127.0.0.1')
    forwards.add(forward, fd)
    place = undefined
    const refused = client('127.0.0.1', forward.hostPort)
    const buffer = new PinnedBuffer(8)
    let result = 0
    turnUntil(() => {
      result = receiveBytes(refused.fd, buffer, 0, 8)
      return result === -ECONNRESET
    })
    expect(result).toBe(-ECONNRESET)
    expect(taken).toHaveLength(0)
  })

  it('is closed when it is removed, and connections that it has taken stay', () => {
    const { fd, forward } = listener('127.0.0.1')
    const before = readdirSync('/proc/self/fd').length
    forwards.add(forward, fd)
    client('127.0.0.1', forward.hostPort)
    turnUntil(() => taken.length === 1)
    forwards.remove(forward)
    forwards.remove(forward)
    expect(forwards.size).toBe(0)
    // Less the listener, more the client and the connection.
    expect(readdirSync('/proc/self/fd').length).toBe(before - 1 + 2)
    expect(client('127.0.0.1', forward.hostPort).failed).toBeOneOf([-ECONNREFUSED, -EINPROGRESS])
    loop.turn(10)
    expect(taken).toHaveLength(1)
  })

  it('takes the place of the one from before', () => {
    const { fd, forward } = listener('127.0.0.1')
    forwards.add(forward, fd)
    const other = listener('127.0.0.1')
    forwards.add({ ...forward, guestPort: 81 }, other.fd)
    client('127.0.0.1', other.forward.hostPort)
    turnUntil(() => taken.length === 1)
    expect(taken[0]?.guestPort).toBe(81)
    expect(forwards.size).toBe(1)
  })

  it('waits without spinning while no descriptor is free, and goes on', () => {
    const { fd, forward } = listener('127.0.0.1')
    forwards.add(forward, fd)
    loop.turn(0)
    const prlimit = (...words: string[]) => execFileSync('prlimit', ['--pid', `${process.pid}`, ...words])
    const softLimit = prlimit('--nofile', '--noheadings', '--output=SOFT').toString().trim()
    const highest = Math.max(...readdirSync('/proc/self/fd').map(Number))
    client('127.0.0.1', forward.hostPort)
    prlimit(`--nofile=${highest + 40}:`)
    const fill: number[] = []
    try {
      for (;;) fill.push(openSync('/dev/null', 'r'))
    } catch (error) {
      expect(error).toMatchObject({ code: 'EMFILE' })
    }
    for (let turns = 0; turns < 5; turns++) loop.turn(0)
    expect(taken).toHaveLength(0)
    // Nothing but its timer is under way: the loop may sleep.
    expect(loop.timers.untilNext(nowMs, 1_000)).toBeGreaterThan(0)
    loop.turn(0)
    for (const descriptor of fill) closeSync(descriptor)
    prlimit(`--nofile=${softLimit}:`)
    nowMs += 70
    turnUntil(() => taken.length === 1)
    expect(taken).toHaveLength(1)
  })
})

describe('who a client is to the guest', () => {
  const seen = (text: string): string => {
    const address = new SocketAddress()
    const [word0, word1, word2, word3] = parseAddress(text)
    Object.assign(address, { word0, word1, word2, word3, port: 99 })
    makeVisible(address, gateway)
    return formatEnd([address.word0, address.word1, address.word2, address.word3], address.port)
  }

  it('is itself, unless it is the host’s loopback or link-local', () => {
    expect(seen('192.0.2.7')).toBe('192.0.2.7:99')
    expect(seen('2001:db8::7')).toBe('[2001:db8::7]:99')
    expect(seen('127.9.9.9')).toBe('10.75.0.1:99')
    expect(seen('::1')).toBe('[fdd4:1476:6c7e::1]:99')
    expect(seen('fe80::7')).toBe('[fdd4:1476:6c7e::1]:99')
  })
})
