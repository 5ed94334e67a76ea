// The devices against the real kernel: large frames with open checksums pass a TAP and a packet socket both ways and the
// content is the same, losses are counted, and a device that is taken away is noticed.
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { DeviceStats, FrameDevice } from '../../core/net/device/frame-device.ts'
import { PacketFrameDevice } from '../../core/net/device/packet-device.ts'
import { etherFrame } from '../../core/net/frame/guest-frames.fixture.ts'
import { GSO_NONE, MAX_FRAME_BYTES, VIRTIO_FLAGS, VIRTIO_GSO_TYPE } from '../../core/net/frame/layout.ts'
import { PacketEngine } from '../../core/net/packet/packet-engine.ts'
import { PacketLoop } from '../../core/net/packet/packet-loop.ts'
import { defaultSettings } from '../../core/net/settings.ts'
import { EAGAIN } from '../../core/sys/errno.ts'
import { inNamespace } from '../../core/sys/network-namespace.ts'
import { boundInterface, openPacketSocket, takePacketDrops } from '../../core/sys/packet-socket.ts'
import { PinnedBuffer } from '../../core/sys/pinned-buffer.ts'
import { closeDescriptor, writeBytes } from '../../core/sys/socket.ts'
import { openTapDevice } from '../../core/sys/tap-device.ts'
import { Namespace } from './support/namespace.ts'

const MAC = '00:16:3e:00:00:01'
const GUEST = { ipv4: '10.75.1.3', ipv6: 'fdd4:1476:6c7e::a4b:103' }
const WORLD = { ipv4: '10.99.0.1', ipv6: '2001:db8:99::1' }
const CONTENT = randomBytes(24 * 1024 * 1024)

/** Counts the frames with a segmentation offload, and those with an open checksum, on their way. */
class CountingDevice implements FrameDevice {
  readonly fd: number
  readonly #device: FrameDevice
  readonly segmented = { received: 0, sent: 0 }
  readonly open = { received: 0, sent: 0 }

  constructor(device: FrameDevice) {
    this.fd = device.fd
    this.#device = device
  }

  receive(target: PinnedBuffer): number {
    const count = this.#device.receive(target)
    if (count > 0) this.#count(target, 'received')
    return count
  }

  send(
    header: PinnedBuffer,
    headerBytes: number,
    payload: PinnedBuffer,
    offset: number,
    bytes: number,
  ): number {
    this.#count(header, 'sent')
    return this.#device.send(header, headerBytes, payload, offset, bytes)
  }

  stats(): DeviceStats {
    return this.#device.stats()
  }

  isGone(): boolean {
    return this.#device.isGone()
  }

  close(): void {
    this.#device.close()
  }

  #count({ view }: PinnedBuffer, way: 'received' | 'sent'): void {
    if (view.getUint8(VIRTIO_GSO_TYPE) !== GSO_NONE) this.segmented[way]++
    if ((view.getUint8(VIRTIO_FLAGS) & 1) !== 0) this.open[way]++
  }
}

let world: Namespace
let wires: Namespace
let folder: string
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'bulkhead-device-'))
  writeFileSync(join(folder, 'content'), CONTENT)
  world = await Namespace.create('world')
  wires = await Namespace.create('wires')
  await world.ip('link', 'add', 'world', 'type', 'veth', 'peer', 'name', 'nobody')
  await world.ip('link', 'set', 'nobody', 'up')
  await world.ip('link', 'set', 'world', 'up')
  await world.ip('addr', 'add', `${WORLD.ipv4}/24`, 'dev', 'world')
  await world.ip('-6', 'addr', 'add', `${WORLD.ipv6}/64`, 'dev', 'world', 'nodad')
})
afterAll(async () => {
  await world[Symbol.asyncDispose]()
  await wires[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

/** An engine whose sockets are in the world, with one guest in a namespace of its own. */
class Carried implements AsyncDisposable {
  readonly guest: Namespace
  readonly lost: string[] = []
  readonly logged: string[] = []
  readonly device: () => CountingDevice
  readonly loop: PacketLoop
  readonly engine: PacketEngine

  private constructor(guest: Namespace, kind: 'tap' | 'packet', fd: number) {
    this.guest = guest
    this.loop = new PacketLoop()
    let device: CountingDevice | undefined
    this.device = () => {
      if (device === undefined) throw new Error('There is no device')
      return device
    }
    this.engine = new PacketEngine({
      loop: this.loop,
      settings: defaultSettings,
      services: {
        dns: () => undefined,
        dnsStream: (_guest, stream) => closeDescriptor(stream),
        deviceLost: (id, reason) => this.lost.push(`${id}: ${reason}`),
        log: (message) => this.logged.push(message),
      },
      wrapDevice: (plain) => {
        device = new CountingDevice(plain)
        return device
      },
    })
    this.engine.addGuest(
      {
        type: 'guest',
        id: 'guest',
        name: 'guest',
        mac: MAC,
        ...GUEST,
        mtu: 1500,
        device: kind,
        configuration: 'static',
        guests: true,
        policy: [],
        search: [],
      },
      fd,
    )
  }

  static async create(kind: 'tap' | 'packet', offloads: boolean): Promise<Carried> {
    const guest = await Namespace.create('guest')
    let fd: number
    if (kind === 'tap') fd = inNamespace(guest.path, () => openTapDevice('eth0', { offloads }))
    else {
      await wires.ip('link', 'add', 'vif', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', guest.name)
      await wires.run('sysctl', '-q', '-w', 'net.ipv6.conf.vif.disable_ipv6=1')
      await wires.ip('link', 'set', 'vif', 'up')
      if (!offloads) await guest.run('ethtool', '-K', 'eth0', 'tso', 'off', 'tx', 'off', 'gso', 'off')
      fd = inNamespace(wires.path, () => openPacketSocket('vif'))
    }
    await guest.ip('link', 'set', 'eth0', 'address', MAC, 'up')
    await guest.ip('addr', 'add', `${GUEST.ipv4}/32`, 'dev', 'eth0')
    await guest.ip('-6', 'addr', 'add', `${GUEST.ipv6}/128`, 'dev', 'eth0', 'nodad')
    await guest.ip('route', 'add', 'default', 'via', '10.75.0.1', 'dev', 'eth0', 'onlink')
    await guest.ip('-6', 'route', 'add', 'default', 'via', 'fdd4:1476:6c7e::1', 'dev', 'eth0', 'onlink')
    return new Carried(guest, kind, fd)
  }

  /** Lets the engine turn until `end` is settled. */
  async until<T>(end: Promise<T>): Promise<T> {
    let isOver = false
    const settled = end.finally(() => {
      isOver = true
    })
    settled.catch(() => {})
    while (!isOver) {
      inNamespace(world.path, () => this.loop.turn(5))
      await setImmediate()
    }
    return await settled
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.engine[Symbol.dispose]()
    this.loop[Symbol.dispose]()
    await this.guest[Symbol.asyncDispose]()
  }
}

/** Sends the content from one namespace to a listener in the other: what arrived. */
async function transfer(
  carried: Carried,
  family: 'ipv4' | 'ipv6',
  way: 'up' | 'down',
  port: number,
): Promise<Buffer> {
  const version = family === 'ipv4' ? '4' : '6'
  const address = family === 'ipv4' ? WORLD.ipv4 : `[${WORLD.ipv6}]`
  const content = join(folder, 'content')
  const arrived = join(folder, `arrived-${port}`)
  const listen = `TCP${version}-LISTEN:${port},reuseaddr`
  const connect = `TCP${version}:${address}:${port},retry=50,interval=0.05`
  const server =
    way === 'up'
      ? world.run('socat', '-u', listen, `CREATE:${arrived}`)
      : world.run('socat', '-u', `OPEN:${content}`, listen)
  const client =
    way === 'up'
      ? carried.guest.run('socat', '-u', `OPEN:${content}`, connect)
      : carried.guest.run('socat', '-u', connect, `CREATE:${arrived}`)
  await carried.until(Promise.all([server, client]))
  return readFileSync(arrived)
}

let port = 7000
beforeEach(() => {
  port += 10
})

describe.each(['tap', 'packet'] as const)('a guest on a %s device', (kind) => {
  test.each(['ipv4', 'ipv6'] as const)(
    'moves large frames with open checksums both ways, over %s',
    async (family) => {
      await using carried = await Carried.create(kind, true)
      expect((await transfer(carried, family, 'up', port)).equals(CONTENT)).toBe(true)
      expect((await transfer(carried, family, 'down', port + 1)).equals(CONTENT)).toBe(true)
      const { segmented, open } = carried.device()
      // 24 MiB are 17 000 segments: far fewer frames carried them.
      expect(segmented.received).toBeGreaterThan(200)
      expect(segmented.sent).toBeGreaterThan(200)
      expect(open.received).toBeGreaterThan(segmented.received)
      expect(open.sent).toBeGreaterThan(segmented.sent)
      const [stats] = carried.engine.stats().guests
      expect((stats?.inFrames ?? 0) + (stats?.outFrames ?? 0)).toBeLessThan(16_000)
      expect(stats?.drops['bad-checksum']).toBeUndefined()
      expect(stats?.drops['bad-offload']).toBeUndefined()
      expect(carried.logged).toEqual([])
    },
  )

  test('serves a guest without offloads', async () => {
    await using carried = await Carried.create(kind, false)
    expect((await transfer(carried, 'ipv4', 'up', port)).equals(CONTENT)).toBe(true)
    expect((await transfer(carried, 'ipv6', 'down', port + 1)).equals(CONTENT)).toBe(true)
    expect(carried.device().segmented.received).toBe(0)
  })

  test('notices that the device is taken away', async () => {
    await using carried = await Carried.create(kind, true)
    const gone = (async () => {
      while (carried.lost.length === 0) await setImmediate()
    })()
    await carried.guest.ip('link', 'del', 'eth0')
    await carried.until(gone)
    expect(carried.lost).toEqual(['guest: its interface was removed'])
    expect(carried.engine.guests).toEqual([])
  })
})

describe('a packet socket', () => {
  beforeEach(async () => {
    await wires.ip('link', 'add', 'near', 'type', 'veth', 'peer', 'name', 'far')
    await wires.ip('link', 'set', 'near', 'up')
    await wires.ip('link', 'set', 'far', 'up')
    return async () => {
      await wires.run('sh', '-c', 'ip link del near 2>/dev/null || true')
    }
  })

  const broadcast = { destinationMac: new Uint8Array(6).fill(255) }
  const frame = (bytes: number) => etherFrame(0x88b5, Buffer.alloc(bytes), broadcast)

  test('does not hear what it sends, and counts what it had no room for, once', () => {
    const near = inNamespace(wires.path, () => openPacketSocket('near', { receiveBufferBytes: 32 * 1024 }))
    const far = inNamespace(wires.path, () => openPacketSocket('far'))
    const buffer = new PinnedBuffer(MAX_FRAME_BYTES)
    const device = new PacketFrameDevice(near)
    const bytes = frame(1_000)
    buffer.bytes.set(bytes)
    expect(device.send(buffer, bytes.length, buffer, 0, 0)).toBe(bytes.length)
    // IPv6 of the kernel's own may come at any time: only ours count.
    const mine = () => {
      let count = 0
      for (let length = device.receive(buffer); length !== -EAGAIN; length = device.receive(buffer))
        if (buffer.view.getUint16(22) === 0x88b5) count++
      return count
    }
    expect(mine()).toBe(0)
    buffer.bytes.set(bytes)
    for (let sent = 0; sent < 500; sent++) expect(writeBytes(far, buffer, 0, bytes.length)).toBe(bytes.length)
    const received = mine()
    expect(received).toBeGreaterThan(0)
    expect(received + device.stats().overruns).toBeGreaterThanOrEqual(500)
    expect(takePacketDrops(near)).toBe(0)
    closeDescriptor(near)
    closeDescriptor(far)
  })

  test('knows whether its interface is down or gone', async () => {
    const near = inNamespace(wires.path, () => openPacketSocket('near'))
    const device = new PacketFrameDevice(near)
    await wires.ip('link', 'set', 'near', 'down')
    expect(device.isGone()).toBe(false)
    expect(boundInterface(near)).toBeGreaterThan(0)
    await wires.ip('link', 'del', 'near')
    expect(device.isGone()).toBe(true)
    closeDescriptor(near)
  })

  test('is not made where there is no interface', () => {
    expect(() => inNamespace(wires.path, () => openPacketSocket('nothing'))).toThrow(
      'Cannot open a packet socket on nothing: no such device (ENODEV)',
    )
    expect(() => openPacketSocket('a-name-that-is-too-long')).toThrow('ENODEV')
    expect(() => openTapDevice('a-name-that-is-too-long')).toThrow('EINVAL')
  })
})
