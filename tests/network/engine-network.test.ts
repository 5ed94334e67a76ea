// What the core host does for guests' networks, with the real engine: ports, and everything again after either side was gone.

import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { NetworkEngineState, PublishedPort } from '../../core/api/methods.ts'
import { NetEngineClient } from '../../core/net/engine/engine-client.ts'
import { defaultSettings } from '../../core/net/settings.ts'
import type { GuestRecord } from '../../core/runtime/guest-record.ts'
import { EngineNetwork } from '../../core/runtime/network/engine-network.ts'
import packageJson from '../../package.json' with { type: 'json' }
import { engineStarter } from './support/engine-starter.ts'
import { GATEWAY, GUEST_LINK } from './support/guest.ts'
import type { Namespace } from './support/namespace.ts'
import { NetworkLab, WORLD } from './support/network-lab.ts'
import { connectIn, listenIn, readToEnd } from './support/sockets.ts'

const { version } = packageJson
const world = { address: WORLD.ipv4, port: 80 }
const tcp = (guestPort: number, hostPort = 0, bind = ''): PublishedPort => ({
  protocol: 'tcp',
  bind,
  hostPort,
  guestPort,
})

let lab: NetworkLab
let folder: string
let network: EngineNetwork
let states: NetworkEngineState[]
let log: string[]
let lostPorts: string[]
let onState: () => void
const alive = setInterval(() => undefined, 60_000)

beforeAll(async () => {
  lab = await NetworkLab.create()
  lab.use(
    await listenIn(lab.world, world, (socket) => {
      socket.on('error', () => undefined)
      socket.pipe(socket)
    }),
  )
})
afterAll(async () => {
  await lab[Symbol.asyncDispose]()
  clearInterval(alive)
})

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'engine-network-'))
  states = []
  log = []
  lostPorts = []
  onState = () => undefined
  network = await open()
  await running()
})
afterEach(async () => {
  await network[Symbol.asyncDispose]()
  await endEngine()
  rmSync(folder, { recursive: true })
})

async function open(ownVersion = version): Promise<EngineNetwork> {
  const vifs = await lab.vifs()
  return await EngineNetwork.open({
    settings: defaultSettings,
    version: ownVersion,
    socketPath: join(folder, 'net.sock'),
    namespacePath: vifs.path,
    uid: 65_534,
    gid: 65_534,
    execPath: engineStarter(lab, folder),
    log: (message) => log.push(message),
    onEngine: (state) => {
      states.push(state)
      onState()
    },
    onPortsLost: (id) => lostPorts.push(id),
  })
}

/** Ends the engine that runs, whoever knows of it. */
async function endEngine(): Promise<void> {
  using client = NetEngineClient.connect(join(folder, 'net.sock'), { log: () => undefined })
  await client.hello(defaultSettings)
  client.end()
  await client.closed
}

/** Kills the engine; resolves when another one runs. */
async function replaceEngine(pid: number): Promise<void> {
  const before = network.engine.restarts
  const back = new Promise<void>((resolve) => {
    onState = () => {
      if (states.at(-1)?.state === 'running' && (states.at(-1)?.restarts ?? 0) > before) resolve()
    }
  })
  process.kill(pid, 'SIGKILL')
  await back
}

/** Resolves when an engine runs. */
async function running(): Promise<void> {
  await new Promise<void>((resolve) => {
    onState = () => {
      if (network.engine.state === 'running') resolve()
    }
    onState()
  })
}

function enginePid(): number {
  const { enginePid: pid } = network
  if (pid === undefined) throw new Error('No engine runs')
  return pid
}

let lastGuest = 0

interface RunningGuest {
  readonly record: GuestRecord
  readonly namespace: Namespace
  readonly vif: string
}

/** A guest with a kernel of its own, whose vif is there and has not been attached yet. */
async function createGuest(
  ports: readonly PublishedPort[] = [],
  name = `guest${lastGuest + 1}`,
): Promise<RunningGuest> {
  const number = ++lastGuest
  const record = recordOf(number, name, ports)
  const { ipv4 = '', mac = '' } = record.network ?? {}
  const vif = `vif${number}.0`
  const vifs = await lab.vifs()
  const namespace = await lab.namespace(name)
  await vifs.ip('link', 'add', vif, 'type', 'veth', 'peer', 'name', GUEST_LINK, 'netns', namespace.name)
  await vifs.ip('link', 'set', vif, 'up')
  await namespace.ip('link', 'set', GUEST_LINK, 'address', mac, 'up')
  await namespace.ip('address', 'add', `${ipv4}/32`, 'dev', GUEST_LINK)
  await namespace.ip('route', 'add', 'default', 'via', GATEWAY.ipv4, 'dev', GUEST_LINK, 'onlink')
  return { record, namespace, vif }
}

async function attachedGuest(ports: readonly PublishedPort[] = []): Promise<RunningGuest> {
  const guest = await createGuest(ports)
  await network.attach(guest.record, guest)
  return guest
}

function recordOf(number: number, name: string, ports: readonly PublishedPort[]): GuestRecord {
  const id = number.toString(16).padStart(64, '0')
  const spec: GuestRecord['spec']['network'] = {
    kind: 'nat',
    ports: [...ports],
    guests: true,
    policy: [],
    dns: { servers: [], search: [], options: [] },
  }
  const reserved = network.reserve(id, spec)
  const record = {
    id,
    name,
    state: 'running',
    domid: number,
    spec: { network: spec },
  } as unknown as GuestRecord
  if (reserved !== undefined) record.network = reserved
  network.know(record)
  return record
}

async function echo(namespace: Namespace, text: string): Promise<string> {
  const client = connectIn(namespace, world)
  client.end(text)
  return String(await readToEnd(client))
}

async function readPort(port: number, address = '127.0.0.1'): Promise<string> {
  return String(await readToEnd(connect({ host: address, port })))
}

function sayHello(namespace: Namespace, port = 80): Promise<AsyncDisposable> {
  return listenIn(namespace, { address: '0.0.0.0', port }, (socket) => socket.end('hello'))
}

describe('a guest', () => {
  test('is on the network from its attachment to its end', async () => {
    const { record, namespace } = await attachedGuest()
    expect(await echo(namespace, 'out')).toBe('out')
    expect(network.list()).toMatchObject({
      engine: { state: 'running', restarts: 0 },
      guests: [
        { id: record.id, name: record.name, isRunning: true, kind: 'nat', ipv4: record.network?.ipv4 },
      ],
    })
    expect((await network.stats(record)).guests).toMatchObject([{ name: record.name, flowsOpened: 1 }])
    await network.detach(record)
    expect((await network.stats()).guests).toEqual([])
    await expect(network.flows(record)).rejects.toThrow(/is not on the network: it does not run/)
  })

  test('cannot be attached without its vif, and then has no ports either', async () => {
    const { record } = await createGuest([tcp(80, 42_801)])
    await expect(network.attach(record, { vif: 'vif999.0' })).rejects.toThrow(/vif999.0/)
    expect(record.network?.open).toEqual([])
    await using server = createServer().listen(42_801, '127.0.0.1')
    await once(server, 'listening')
  })
})

describe('published ports', () => {
  test('open with the guest, on a port of the host’s choice, on both loopbacks', async () => {
    const { record, namespace } = await attachedGuest([tcp(80)])
    await using _ = await sayHello(namespace)
    const [open] = record.network?.open ?? []
    expect(open).toMatchObject({ protocol: 'tcp', bind: '', guestPort: 80 })
    const port = open?.hostPort ?? 0
    expect(port).toBeGreaterThan(0)
    expect(await readPort(port)).toBe('hello')
    await network.detach(record)
    await expect(readPort(port)).rejects.toThrow('ECONNREFUSED')
    await expect(readPort(port, '::1')).rejects.toThrow('ECONNREFUSED')
  })

  test('are opened all or none, and it is told who has one', async () => {
    const holder = await attachedGuest([tcp(80, 42_811)])
    const other = await attachedGuest()
    const wanted = [tcp(80, 42_812), tcp(81, 42_811)]
    await expect(network.publish(other.record, wanted)).rejects.toThrow(
      `Cannot publish port 42811 (TCP): guest "${holder.record.name}" has it`,
    )
    expect(other.record.network?.open).toEqual([])
    expect(await network.publish(other.record, [tcp(80, 42_812)])).toEqual([tcp(80, 42_812)])
    await expect(network.publish(other.record, [tcp(80, 42_812)])).rejects.toThrow(
      /published for this guest already/,
    )
    await using server = createServer().listen(42_813, '127.0.0.1')
    await once(server, 'listening')
    await expect(network.publish(other.record, [tcp(80, 42_813)])).rejects.toThrow(
      /^Cannot publish 127.0.0.1:42813 \(TCP\): another program of this host has it$/,
    )
    await expect(network.publish(other.record, [tcp(80, 42_814, '192.0.2.77')])).rejects.toThrow(
      /this host has no such address/,
    )
    // The same number for the other protocol and on another address is another port.
    await network.publish(other.record, [
      { ...tcp(53, 42_811), protocol: 'udp' },
      tcp(80, 42_811, '127.0.0.9'),
    ])
  })

  test('are taken back while the guest runs', async () => {
    const { record, namespace } = await attachedGuest([tcp(80, 42_821)])
    await using _ = await sayHello(namespace)
    const [chosen] = await network.publish(record, [tcp(80)])
    await network.unpublish(record, [tcp(80, 42_821)])
    await expect(readPort(42_821)).rejects.toThrow('ECONNREFUSED')
    expect(await readPort(chosen?.hostPort ?? 0)).toBe('hello')
    await expect(network.unpublish(record, [tcp(80, 42_821)])).rejects.toThrow(/it is not published/)
    await network.unpublish(record, [tcp(80)])
    expect(record.network).toMatchObject({ open: [], ports: [] })
  })

  test('are asked for in vain without a network', () => {
    const spec = recordOf(++lastGuest, 'none', []).spec.network
    expect(() => network.reserve('x', { ...spec, kind: 'none', ports: [tcp(80)] })).toThrow(/has no network/)
    expect(() => network.reserve('x', { ...spec, ports: [tcp(80, 0, 'localhost')] })).toThrow(
      /no IPv4 or IPv6 address/,
    )
    expect(() =>
      network.reserve('x', { ...spec, policy: [{ action: 'deny', range: '10.0.0.1/8' }] }),
    ).toThrow(/range/)
  })
})

describe('when the engine is killed', () => {
  test('another one carries all guests and ports at once', async () => {
    const { record, namespace } = await attachedGuest([tcp(80, 42_831)])
    await using _ = await sayHello(namespace)
    expect(await echo(namespace, 'before')).toBe('before')
    const pid = enginePid()
    const waiting = readPort(42_831)
    expect(await waiting).toBe('hello')
    await replaceEngine(pid)
    expect(await echo(namespace, 'after')).toBe('after')
    expect(await readPort(42_831)).toBe('hello')
    expect(network.engine).toMatchObject({ state: 'running', restarts: 1 })
    expect(states.map(({ state }) => state)).toEqual(['running', 'starting', 'running'])
    expect(record.network?.open).toEqual([tcp(80, 42_831)])
  })

  test('calls that were on their way fail, and say why', async () => {
    await attachedGuest()
    const pid = enginePid()
    process.kill(pid, 'SIGSTOP')
    const call = network.stats()
    const failed = expect(call).rejects.toMatchObject({ code: 'net.engine-died' })
    await replaceEngine(pid)
    await failed
  })
})

describe('when the core host is gone and back', () => {
  test('connections go on, and ports stay open all the time', async () => {
    const { record, namespace, vif } = await attachedGuest([tcp(80, 42_841)])
    const stray = await attachedGuest()
    await using _ = await sayHello(namespace)
    const client = connectIn(namespace, world)
    client.write('one')
    expect(String((await once(client, 'data'))[0])).toBe('one')

    await network[Symbol.asyncDispose]()
    expect(await readPort(42_841)).toBe('hello')
    client.write('two')
    expect(String((await once(client, 'data'))[0])).toBe('two')

    network = await open()
    network.know(record)
    await network.attach(record, { vif, isAdopted: true })
    network.settled()
    client.write('three')
    expect(String((await once(client, 'data'))[0])).toBe('three')
    client.destroy()
    expect(await readPort(42_841)).toBe('hello')
    expect((await network.stats()).guests.map(({ guest }) => guest)).toEqual([record.id])
    expect(stray.record.id).not.toBe(record.id)

    // Now the engine alone has the port's socket.
    await replaceEngine(enginePid())
    expect(await readPort(42_841)).toBe('hello')
    expect(lostPorts).toEqual([])
    await network.unpublish(record, [tcp(80, 42_841)])
    await expect(readPort(42_841)).rejects.toThrow('ECONNREFUSED')
  })

  test('with the engine, ports are bound again; one that is taken meanwhile is lost', async () => {
    const { record, namespace, vif } = await attachedGuest([tcp(80, 42_851), tcp(80, 42_852)])
    await using _ = await sayHello(namespace)
    await network[Symbol.asyncDispose]()
    await endEngine()
    await using server = createServer().listen(42_852, '127.0.0.1')
    await once(server, 'listening')

    network = await open()
    network.know(record)
    await network.attach(record, { vif, isAdopted: true })
    network.settled()
    expect(await readPort(42_851)).toBe('hello')
    expect(record.network?.open).toEqual([tcp(80, 42_851)])
    expect(log.join('\n')).toMatch(/loses port 42852: .* another program of this host has it/)
  })
})

test('a vif that goes is told once, and its guest is away', async () => {
  const { record, vif } = await attachedGuest()
  const vifs = await lab.vifs()
  await vifs.ip('link', 'del', vif)
  for (;;) if ((await network.stats()).guests.length === 0) break
  expect(log.join('\n')).toContain(`The engine lost the wire of guest "${record.name}"`)
  await network.detach(record)
})

test('a capture is pcapng, and ends when it is asked to', async () => {
  const { record, namespace } = await attachedGuest()
  const session = await network.capture(record, { frameBytes: 65_600, limitBytes: 1_000_000 })
  expect(await echo(namespace, 'captured')).toBe('captured')
  session.input?.end()
  const parts: Uint8Array[] = []
  for await (const event of session.outputs[0] ?? []) if (event.kind === 'data') parts.push(event.bytes)
  const pcapng = Buffer.concat(parts)
  expect(pcapng.readUInt32LE(0)).toBe(0x0a0d0d0a)
  expect(pcapng.includes('captured')).toBe(true)
  session.close()
})

test('an engine that hangs is replaced', async () => {
  await attachedGuest()
  await network[Symbol.asyncDispose]()
  using client = NetEngineClient.connect(join(folder, 'net.sock'), { log: () => undefined })
  const { pid = 0 } = client
  process.kill(pid, 'SIGSTOP')
  network = await open()
  expect(network.engine.state).toBe('failed')
  await running()
  expect(network.enginePid).not.toBe(pid)
})

test('an engine that another version left behind is replaced, with all its guests', async () => {
  const { record, namespace, vif } = await attachedGuest()
  const pid = enginePid()
  await network[Symbol.asyncDispose]()
  network = await open('99.0.0')
  network.know(record)
  await network.attach(record, { vif, isAdopted: true })
  network.settled()
  await running()
  expect(await echo(namespace, 'new')).toBe('new')
  expect(enginePid()).not.toBe(pid)
  expect(log.join('\n')).toContain(`it was of version ${version}, this core host is of 99.0.0`)
})

test('a connection to a guest’s port, and what a guest says of one that nobody takes', async () => {
  const { record, namespace } = await attachedGuest()
  await using _ = await sayHello(namespace, 90)
  const session = await network.connect(record, 90)
  const said: string[] = []
  for await (const event of session.outputs[0] ?? [])
    if (event.kind === 'data') said.push(String(event.bytes))
  expect(said.join('')).toBe('hello')
  session.close()
  await expect(network.connect(record, 91)).rejects.toMatchObject({ code: 'net.unreachable' })
})
