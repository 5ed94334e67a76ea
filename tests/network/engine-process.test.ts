// The engine as a process: what it may do once it runs, who it listens to, and that it keeps nothing of what is gone.
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type ClientOptions, NetEngineClient } from '../../core/net/engine/engine-client.ts'
import type { ForwardMessage } from '../../core/net/engine/messages.ts'
import { type EngineProcess, startEngine } from '../../core/net/engine/start-engine.ts'
import { defaultSettings } from '../../core/net/settings.ts'
import { FileDescriptor } from '../../core/sys/file-descriptor.ts'
import { inNamespace } from '../../core/sys/network-namespace.ts'
import { makeSocketPair } from '../../core/sys/socket-pair.ts'
import { openTapDevice } from '../../core/sys/tap-device.ts'
import { engineStarter } from './support/engine-starter.ts'
import { createGuest, GATEWAY, type Guest, guestMessage } from './support/guest.ts'
import type { Namespace } from './support/namespace.ts'
import { HOST, NetworkLab, WORLD } from './support/network-lab.ts'
import { boundDescriptor, connectIn, listenIn, readToEnd } from './support/sockets.ts'

const UNPRIVILEGED = 65_534
const world = { address: WORLD.ipv4, port: 80 }
const alive = setInterval(() => undefined, 60_000)
let lab: NetworkLab
let folder: string
let engine: EngineProcess
let socketPath: string
let log: string[]

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
  folder = mkdtempSync(join(tmpdir(), 'engine-process-'))
  socketPath = join(folder, 'net.sock')
  log = []
  engine = await start()
})
afterEach(async () => {
  try {
    process.kill(engine.pid, 'SIGKILL')
  } catch {
    // A test has ended it.
  }
  await engine.ended
  rmSync(folder, { recursive: true })
})

function start(): Promise<EngineProcess> {
  return startEngine({
    socketPath,
    uid: UNPRIVILEGED,
    gid: UNPRIVILEGED,
    execPath: engineStarter(lab, folder),
    log: (line) => log.push(line),
  })
}

function newClient(options: Partial<ClientOptions> = {}): NetEngineClient {
  return NetEngineClient.connect(socketPath, { log: (line) => log.push(line), ...options })
}

/** A client that the engine takes for the core host, with the guests that it names. */
async function coreHost(
  guests: readonly Guest[] = [],
  options: Partial<ClientOptions> = {},
): Promise<NetEngineClient> {
  const client = newClient(options)
  const ready = await client.hello(defaultSettings)
  for (const { message, fd } of guests)
    if (ready.guests.includes(message.id)) client.guest(message)
    else client.guest(message, fd)
  client.synced()
  await client.settle()
  return client
}

async function echo(namespace: Namespace, text: string): Promise<string> {
  const client = connectIn(namespace, world)
  client.end(text)
  return String(await readToEnd(client))
}

function statusOf(pid: number): Record<string, string> {
  const lines = readFileSync(`/proc/${pid}/status`, 'utf8').split('\n')
  return Object.fromEntries(lines.map((line) => line.split(/:\s+/) as [string, string]))
}

/** A client that speaks no protocol. */
async function rawConnection(): Promise<Socket> {
  const socket = connect(socketPath)
  socket.on('error', () => undefined)
  socket.resume()
  await once(socket, 'connect')
  return socket
}

describe('the process', () => {
  test('is nobody, in all of its threads, and can become nobody else', () => {
    const ids = [UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED].join('\t')
    for (const thread of statusesOfThreads(engine.pid)) {
      expect(thread).toMatchObject({ Uid: ids, Gid: ids, NoNewPrivs: '1', Seccomp: '2' })
      expect([thread.CapEff, thread.CapPrm, thread.CapInh, thread.CapAmb]).toEqual(
        new Array(4).fill('0'.repeat(16)),
      )
      expect(thread.Groups?.trim() ?? '').toBe('')
    }
  })

  test('listens where nobody else may connect, and beside no other', async () => {
    const { mode, uid } = statSync(socketPath)
    expect([mode & 0o777, uid]).toEqual([0o600, 0])
    await expect(start()).rejects.toThrow(/another network engine does/)
  })

  test('takes the place of one that was killed', async () => {
    process.kill(engine.pid, 'SIGKILL')
    await engine.ended
    engine = await start()
    using client = await coreHost()
    expect(client.pid).toBe(engine.pid)
  })

  test('ends when it is told to, and at SIGTERM; not when its core host goes', async () => {
    const first = await coreHost()
    first[Symbol.dispose]()
    const second = await coreHost()
    second.end()
    expect(await engine.ended).toBe('ended with status 0')
    engine = await start()
    process.kill(engine.pid, 'SIGTERM')
    expect(await engine.ended).toBe('ended with status 0')
  })

  test('ends for other settings, since flows were made by the old ones', async () => {
    using first = await coreHost()
    void first
    using second = newClient()
    await expect(second.hello({ ...defaultSettings, mtu: 1400 })).rejects.toMatchObject({
      code: 'net.engine-died',
    })
    expect(await engine.ended).toBe('ended with status 0')
  })
})

describe('the control connection', () => {
  const frame = (text: string) => {
    const bytes = Buffer.from(text)
    const length = Buffer.alloc(4)
    length.writeUInt32LE(bytes.length)
    return Buffer.concat([length, bytes])
  }

  test.each([
    ['bytes at random', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['a message without end', Buffer.from([0xff, 0xff, 0xff, 0xff])],
    ['no JSON', frame('{"type":"hello"')],
    ['text that is no UTF-8', frame('"\xff"').fill(0xff, 4)],
    ['an unknown message', frame('{"type":"reboot"}')],
    ['a message with more in it than there is', frame('{"type":"synced","now":true}')],
    ['a message before the first', frame('{"type":"synced"}')],
    ['a newer protocol', frame(JSON.stringify(hello({ protocol: 2 })))],
    [
      'a hello without the descriptors it speaks of',
      frame(JSON.stringify(hello({ rawIcmp: { ipv4: true, ipv6: true } }))),
    ],
  ])('is cut off at %s, and the engine goes on', async (_name, bytes) => {
    const socket = await rawConnection()
    const closed = once(socket, 'close')
    socket.write(bytes)
    await closed
    using client = await coreHost()
    expect((await client.stats()).guests).toEqual([])
  })

  test('is not lost to somebody who connects and says nothing', async () => {
    using client = await coreHost()
    const silent: Socket[] = []
    for (let count = 0; count < 10; count++) silent.push(await rawConnection())
    await client.stats()
    for (const socket of silent) socket.destroy()
    await client.stats()
  })

  test('is that of the newest core host', async () => {
    using first = await coreHost()
    using second = await coreHost()
    expect((await first.closed).code).toBe('net.engine-died')
    await expect(first.stats()).rejects.toMatchObject({ code: 'net.engine-died' })
    await second.stats()
  })

  test('answers for guests that it has, and no others', async () => {
    using client = await coreHost()
    await expect(client.flows('nobody')).rejects.toMatchObject({ code: 'net.no-guest' })
    const [ours, theirs] = makeSocketPair()
    using _ours = new FileDescriptor(ours)
    using _theirs = new FileDescriptor(theirs)
    await expect(client.connectPort('nobody', 80, theirs)).rejects.toMatchObject({ code: 'net.no-guest' })
    await expect(
      client.capture('nobody', { frameBytes: 100, limitBytes: 5000 }, theirs),
    ).rejects.toMatchObject({
      code: 'net.no-guest',
    })
  })
})

function hello(changes: object): object {
  return {
    type: 'hello',
    protocol: 1,
    settings: defaultSettings,
    rawIcmp: { ipv4: false, ipv6: false },
    ...changes,
  }
}

describe('guests', () => {
  test('stay with their flows while no core host is there, if the next one names them', async () => {
    const kept = await createGuest(lab, 1)
    const dropped = await createGuest(lab, 2)
    const first = await coreHost([kept, dropped])
    const flow = connectIn(kept.namespace, world)
    flow.write('one')
    await once(flow, 'data')
    const other = connectIn(dropped.namespace, world)
    const reset = once(other, 'close')
    other.on('error', () => undefined)
    other.write('one')
    await once(other, 'data')
    first[Symbol.dispose]()
    flow.write('two')
    expect(String((await once(flow, 'data'))[0])).toBe('two')

    using second = await coreHost([kept])
    expect((await second.stats()).guests).toMatchObject([{ guest: kept.message.id, tcpFlows: 1 }])
    flow.write('three')
    expect(String((await once(flow, 'data'))[0])).toBe('three')
    flow.destroy()
    other.destroy()
    await reset
    closeWires(kept, dropped)
  })

  test('may do what they were last said to may, without losing what is open', async () => {
    const guest = await createGuest(lab, 3)
    using client = await coreHost([guest])
    const flow = connectIn(guest.namespace, world)
    flow.write('one')
    await once(flow, 'data')
    client.guest({ ...guest.message, policy: [{ action: 'deny', range: 'any' }] })
    await client.settle()
    await expect(echo(guest.namespace, 'x')).rejects.toThrow()
    flow.write('two')
    expect(String((await once(flow, 'data'))[0])).toBe('two')
    client.guest(guest.message)
    await client.settle()
    expect(await echo(guest.namespace, 'again')).toBe('again')
    flow.destroy()
    closeWires(guest)
  })

  test('whose wires the engine does not have are named', async () => {
    const lost = Promise.withResolvers<string>()
    using client = await coreHost([], {
      onDeviceLost: (guest, reason) => lost.resolve(`${guest}: ${reason}`),
    })
    client.guest(guestMessage(9))
    expect(await lost.promise).toBe('guest-9: the engine does not have it')
  })

  test.each([
    ['a TAP', 'tap'],
    ['a vif', 'packet'],
  ] as const)(
    'are told to be lost when %s vanishes under them, in the middle of a transfer',
    async (_name, device) => {
      const number = device === 'tap' ? 4 : 5
      const guest = await createGuest(lab, number, { device })
      const lost = Promise.withResolvers<string>()
      using client = await coreHost([guest], { onDeviceLost: (id) => lost.resolve(id) })
      const flow = connectIn(guest.namespace, world)
      flow.on('error', () => undefined)
      flow.resume()
      flow.write(Buffer.alloc(16 * 1024 * 1024))
      await once(flow, 'data')
      if (device === 'tap') await guest.namespace.ip('link', 'del', 'eth0')
      else await (await lab.vifs()).ip('link', 'del', `vif${number}.0`)
      expect(await lost.promise).toBe(guest.message.id)
      expect((await client.stats()).guests).toEqual([])
      flow.destroy()
      closeWires(guest)
    },
  )
})

test('200 guests that come and go with ports, captures and connections leave no descriptor behind', async () => {
  const namespace = await lab.namespace('coming')
  using client = await coreHost()
  await turn(client, namespace, 0)
  const before = await settledDescriptors(client)
  for (let round = 1; round <= 200; round++) await turn(client, namespace, round)
  expect(await settledDescriptors(client)).toBeLessThanOrEqual(before)
})

/** One guest from its coming to its going. */
async function turn(client: NetEngineClient, namespace: Namespace, round: number): Promise<void> {
  const message = guestMessage((round % 250) + 1)
  using tap = new FileDescriptor(inNamespace(namespace.path, () => openTapDevice('tap0')))
  client.guest(message, tap.fd)
  const forward: Omit<ForwardMessage, 'type'> = {
    ...{ guest: message.id, protocol: round % 2 === 0 ? 'tcp' : 'udp' },
    ...{ bind: HOST.ipv4, hostPort: 7000, guestPort: 80 },
  }
  {
    using listener = new FileDescriptor(
      boundDescriptor(lab.host, forward.protocol, { address: HOST.ipv4, port: 7000 }),
    )
    client.forward(forward, listener.fd)
  }
  const [ours, theirs] = makeSocketPair()
  using _ours = new FileDescriptor(ours)
  {
    using _theirs = new FileDescriptor(theirs)
    await client.capture(message.id, { frameBytes: 100, limitBytes: 100_000 }, theirs)
  }
  const [near, far] = makeSocketPair()
  using _near = new FileDescriptor(near)
  {
    using _far = new FileDescriptor(far)
    // Its interface is down: the guest goes while the connection is being made.
    void client.connectPort(message.id, 80, far).catch(() => undefined)
  }
  client.guestGone(message.id)
  await client.settle()
}

/** What the engine has open once sockets that are being closed are. */
async function settledDescriptors(client: NetEngineClient): Promise<number> {
  await client.settle()
  return (await client.stats()).descriptors
}

function statusesOfThreads(pid: number): Record<string, string>[] {
  return readdirSync(`/proc/${pid}/task`).map((thread) => statusOf(Number(thread)))
}

function closeWires(...guests: readonly Guest[]): void {
  for (const { fd } of guests) new FileDescriptor(fd)[Symbol.dispose]()
}

test('connections to the gateway’s DNS beyond what a guest may have are ended, and it is served again after', async () => {
  const guest = await createGuest(lab, 6)
  using client = await coreHost([guest])
  const gateway = { address: GATEWAY.ipv4, port: 53 }
  const many = Array.from({ length: 100 }, () => connectIn(guest.namespace, gateway))
  const ends = many.map((socket) => {
    socket.on('error', () => undefined)
    socket.resume()
    return once(socket, 'end').catch(() => undefined)
  })
  // All but the four that are served.
  let ended = 0
  await new Promise<void>((resolve) => {
    for (const end of ends)
      void end.then(() => {
        if (++ended === 96) resolve()
      })
  })
  for (const socket of many) socket.destroy()
  const asked = guest.namespace.start(
    'dig',
    '+tcp',
    '+retry=20',
    `@${GATEWAY.ipv4}`,
    'guest6.guest',
    '+short',
  )
  expect((await asked.output()).trim()).toBe(guest.message.ipv4)
  expect((await client.stats()).guests).toMatchObject([{ guest: guest.message.id }])
  closeWires(guest)
})
