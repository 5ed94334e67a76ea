// Captures of real traffic through the real engine, read by tshark: nothing in them may look broken.
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeSocketPair } from '../../core/sys/socket-pair.ts'
import { ContentServer } from './support/content.ts'
import { GATEWAY, type Guest, type GuestOptions } from './support/guest.ts'
import { FAMILIES, HOST, NetworkLab, WORLD } from './support/network-lab.ts'
import { run } from './support/program.ts'
import { fromDescriptor } from './support/sockets.ts'
import { TestEngine } from './support/test-engine.ts'

const KIB = 1024
const everything = { frameBytes: 65_600, limitBytes: 64 * KIB * KIB }
/** tshark looks at checksums only when it is told to. */
const checking = ['ip', 'tcp', 'udp'].flatMap((protocol) => ['-o', `${protocol}.check_checksum:TRUE`])
/** It guesses a protocol by any port that a client happens to have, unless it knows few. */
const known = new Set(
  '_ws.malformed _ws.short _ws.expert frame eth ethertype arp ip ipv6 tcp udp dns icmp icmpv6 data'.split(
    ' ',
  ),
)

const folder = mkdtempSync(join(tmpdir(), 'bulkhead-capture-'))
let lab: NetworkLab
let engine: TestEngine
const servers: ContentServer[] = []

beforeAll(async () => {
  await configureTshark()
  lab = await NetworkLab.create()
  engine = await TestEngine.start(lab)
  for (const family of FAMILIES) {
    servers.push(lab.use(await ContentServer.start(lab.world, { address: WORLD[family], port: 8080 })))
  }
})
afterAll(async () => {
  await lab[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true })
})

async function tshark(file: string, ...options: readonly string[]): Promise<string[]> {
  const command = [
    'env',
    `WIRESHARK_CONFIG_DIR=${folder}`,
    'tshark',
    '-n',
    '-r',
    file,
    ...checking,
    ...options,
  ]
  const output = await run(...command)
  return output.split('\n').filter((line) => line !== '')
}

/** All but the known protocols are switched off. */
async function configureTshark(): Promise<void> {
  const lines = (await run('tshark', '-G', 'protocols')).split('\n')
  const names = lines.map((line) => line.split('\t')[2] ?? '').filter((name) => !known.has(name))
  writeFileSync(join(folder, 'disabled_protos'), names.join('\n'))
}

/** Of each frame these fields, the first of each where it has several. */
async function fieldsOf(file: string, fields: readonly string[]): Promise<Record<string, string>[]> {
  const wanted = ['-T', 'fields', '-E', 'occurrence=f', ...fields.flatMap((field) => ['-e', field])]
  return (await tshark(file, ...wanted)).map((line) => {
    const values = line.split('\t')
    return Object.fromEntries(fields.map((field, index) => [field, values[index] ?? '']))
  })
}

/** Frames that tshark finds fault with. */
function broken(file: string): Promise<string[]> {
  const statuses = ['ip', 'tcp', 'udp', 'icmp', 'icmpv6'].map(
    (protocol) => `${protocol}.checksum.status == "Bad"`,
  )
  return tshark(file, '-Y', ['_ws.malformed', '_ws.short', ...statuses].join(' || '))
}

/** Captures what `traffic` makes, to its end. */
async function capture(
  guestOptions: GuestOptions,
  traffic: (guest: Guest) => Promise<void>,
): Promise<string> {
  const guest = await engine.addGuest(guestOptions)
  const { id } = guest.message
  const file = join(folder, `${id}.pcapng`)
  const fd = openSync(file, 'w')
  await engine.client.capture(id, everything, fd)
  closeSync(fd)
  await traffic(guest)
  await engine.removeGuest(id)
  return file
}

async function allKinds({ namespace }: Guest): Promise<void> {
  for (const server of servers) {
    await server.download(namespace, 2 * KIB * KIB)
    await server.upload(namespace, 2 * KIB * KIB)
  }
  for (const address of [WORLD.ipv4, WORLD.ipv6, GATEWAY.ipv4, GATEWAY.ipv6]) {
    await namespace.run('ping', '-c', '2', '-i', '0.2', '-s', '1001', address)
    await namespace.run('ping', '-c', '1', '-s', '4000', address)
  }
  for (const transport of ['+notcp', '+tcp']) {
    await namespace.run('dig', `@${GATEWAY.ipv4}`, transport, 'host.guest', 'ANY')
    await namespace.run('dig', `@${GATEWAY.ipv6}`, transport, 'host.guest', 'AAAA')
  }
  // Refused, and closed by policy: errors of both families.
  for (const address of [WORLD.ipv4, WORLD.ipv6, HOST.ipv4]) {
    await namespace.start('dig', `@${address}`, '-p', '9', '+tries=1', '+time=1', 'host.guest').end
  }
}

describe.each<[string, GuestOptions]>([
  ['a TAP', {}],
  ['a packet socket', { device: 'packet' }],
  ['a TAP without offloads', { offloads: false }],
])('the capture of a guest on %s', (_device, guestOptions) => {
  let file: string
  let frames: Record<string, string>[]
  beforeAll(async () => {
    file = await capture(guestOptions, allKinds)
    frames = await fieldsOf(file, [
      'frame.protocols',
      'frame.packet_flags_direction',
      'frame.time_epoch',
      'eth.src',
      'tcp.len',
      'icmp.type',
      'icmpv6.type',
      ...['tcp', 'udp', 'icmp', 'icmpv6'].map((protocol) => `${protocol}.checksum.status`),
    ])
  })
  const some = (field: string, value: string) => frames.some((frame) => frame[field] === value)

  it('has no frame that tshark finds fault with', async () => {
    expect(await broken(file)).toEqual([])
    for (const protocol of ['tcp', 'udp', 'icmp', 'icmpv6']) {
      expect(some(`${protocol}.checksum.status`, '1'), protocol).toBe(true)
    }
    expect(some('icmp.type', '3'), 'unreachable').toBe(true)
    expect(some('icmpv6.type', '1'), 'unreachable').toBe(true)
    expect(some('icmpv6.type', '136'), 'neighbour advertisement').toBe(true)
    expect(frames.some((frame) => frame['frame.protocols']?.endsWith(':arp'))).toBe(true)
    expect(frames.some((frame) => frame['frame.protocols']?.endsWith(':tcp:dns'))).toBe(true)
  })

  it('knows who sent each frame, and when', () => {
    let last = 0
    for (const frame of frames) {
      const isToGuest = frame['eth.src'] === GATEWAY.mac
      expect(frame['frame.packet_flags_direction']).toMatch(isToGuest ? /^(0x0*)?1$/ : /^(0x0*)?2$/)
      const time = Number(frame['frame.time_epoch'])
      expect(time).toBeGreaterThanOrEqual(last)
      last = time
    }
    expect(Math.abs(Date.now() / 1000 - last)).toBeLessThan(120)
  })

  it('has large frames whole, and all of them to the end', async () => {
    const counted = await run('capinfos', '-M', '-c', file)
    expect(counted).toMatch(new RegExp(`Number of packets: +${frames.length}`))
    const large = frames.filter(
      (frame) => frame['eth.src'] !== GATEWAY.mac && Number(frame['tcp.len']) > 4000,
    )
    expect(large.length > 0).toBe(guestOptions.offloads !== false)
  })
})

it('keeps as much of each frame as was asked for, and says how long it was', async () => {
  const guest = await engine.addGuest()
  const file = join(folder, 'short.pcapng')
  const fd = openSync(file, 'w')
  await engine.client.capture(guest.message.id, { frameBytes: 100, limitBytes: 100 * KIB }, fd)
  closeSync(fd)
  await servers[0]?.download(guest.namespace, 16 * KIB * KIB)
  await engine.removeGuest(guest.message.id)
  const lengths = await tshark(file, '-T', 'fields', '-e', 'frame.cap_len', '-e', 'frame.len')
  expect(lengths.some((line) => /^100\t\d{4,5}$/.test(line))).toBe(true)
  for (const line of lengths) expect(Number(line.split('\t')[0])).toBeLessThanOrEqual(100)
  expect(statSync(file).size).toBeLessThanOrEqual(100 * KIB)
})

it('is one at a time for each guest', async () => {
  const guest = await engine.addGuest()
  const fd = openSync(join(folder, 'one'), 'w')
  await engine.client.capture(guest.message.id, everything, fd)
  const second = engine.client.capture(guest.message.id, everything, fd)
  await expect(second).rejects.toMatchObject({ code: 'net.capture' })
  closeSync(fd)
})

it('never holds the guest up for a reader that reads nothing', async () => {
  const guest = await engine.addGuest()
  const [reader, fd] = makeSocketPair()
  await engine.client.capture(guest.message.id, { ...everything, limitBytes: 2 ** 36 }, fd)
  using held = fromDescriptor(reader, fd)
  held.socket.pause()
  const { sent, sha256 } = (await servers[0]?.download(guest.namespace, 64 * KIB * KIB)) ?? {}
  expect(sha256).toBe(sent?.sha256)
  const parts: Buffer[] = []
  held.socket.on('data', (part: Buffer) => parts.push(part)).resume()
  const ended = once(held.socket, 'end')
  await engine.removeGuest(guest.message.id)
  await ended
  const file = join(folder, 'slow.pcapng')
  writeFileSync(file, Buffer.concat(parts))
  expect(await broken(file)).toEqual([])
  expect((await tshark(file)).length).toBeGreaterThan(0)
})
