// The DNS forwarder with real parts: `dig` asks it, dnsmasq is the host's server, the resolver's file changes under it; and
// with servers that lie, are silent or are gone.
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { DnsForwarder, type DnsForwarderOptions } from '../../core/net/dns/dns-forwarder.ts'
import { frameMessage, MessageReader } from '../../core/net/dns/stream-framing.ts'
import { defaultLimits, defaultSettings } from '../../core/net/settings.ts'
import { dig, type Front, freePort, startDnsmasq, startFront, startScriptedServer } from './dns-servers.ts'

const folder = mkdtempSync(join(tmpdir(), 'bulkhead-dns-'))
const resolvConf = join(folder, 'resolv.conf')
const web = {
  id: 'id-web',
  name: 'web',
  ipv4: '10.75.3.4',
  ipv6: 'fdd4:1476:6c7e::a4b:304',
  mayMeetGuests: true,
}
const db = {
  id: 'id-db',
  name: 'db',
  ipv4: '10.75.3.5',
  ipv6: 'fdd4:1476:6c7e::a4b:305',
  mayMeetGuests: true,
}
const longText = 'x'.repeat(200)

const open: AsyncDisposable[] = []
let port = 0

beforeAll(async () => {
  port = await freePort()
  open.push(
    await startDnsmasq('127.0.0.1', port, {
      records: [
        '--host-record=www.example.test,192.0.2.10,2001:db8::10',
        '--txt-record=small.example.test,first server',
        ...Array.from({ length: 5 }, () => `--txt-record=middle.example.test,${longText}`),
        ...Array.from({ length: 40 }, (_, index) => `--txt-record=big.example.test,${index} ${longText}`),
        '--edns-packet-max=4096',
      ],
    }),
    await startDnsmasq('127.0.0.2', port, { records: ['--txt-record=small.example.test,second server'] }),
  )
})
afterAll(async () => {
  for (const server of open) await server[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true })
})

/** Ended after each test. */
let forwarder: DnsForwarder | undefined
let front: Front | undefined
const log = vi.fn<(message: string) => void>()
afterEach(async () => {
  forwarder?.[Symbol.dispose]()
  await front?.[Symbol.asyncDispose]()
  log.mockReset()
})

async function begin(
  servers: readonly string[],
  options: Partial<DnsForwarderOptions> = {},
): Promise<number> {
  writeServers(servers)
  forwarder = new DnsForwarder({ settings: defaultSettings, log, resolvConf, upstreamPort: port, ...options })
  forwarder.setGuest(web)
  forwarder.setGuest(db)
  front = await startFront(forwarder, web.id)
  return front.port
}

function writeServers(servers: readonly string[]): void {
  writeFileSync(resolvConf, servers.map((server) => `nameserver ${server}\n`).join(''))
}

describe('passing on', () => {
  it('brings answers over UDP and TCP', async () => {
    const at = await begin(['127.0.0.1'])
    expect(await dig(at, '+short', 'www.example.test', 'A')).toBe('192.0.2.10\n')
    expect(await dig(at, '+short', 'www.example.test', 'AAAA')).toBe('2001:db8::10\n')
    expect(await dig(at, '+short', '+tcp', 'www.example.test')).toBe('192.0.2.10\n')
    expect(
      await dig(at, '+short', '+tcp', '+keepopen', 'www.example.test', 'small.example.test', 'TXT'),
    ).toBe('192.0.2.10\n"first server"\n')
    expect(await dig(at, 'none.example.test')).toContain('status: NXDOMAIN')
    expect(await dig(at, '+noedns', '+short', 'WWW.Example.TEST')).toBe('192.0.2.10\n')
    expect(await dig(at, 'www.example.test', 'AXFR')).toContain('Transfer failed')
    expect(await dig(at, '+opcode=UPDATE', 'www.example.test')).toContain('status: NOTIMP')
  })

  it('cuts what does not fit into the datagram that the client takes, and not over TCP', async () => {
    const at = await begin(['127.0.0.1'])
    const middle = ['middle.example.test', 'TXT', '+ignore'] as const
    expect(await dig(at, ...middle, '+noedns')).toMatch(/flags: qr[^;]* tc[ ;]/)
    expect(await dig(at, ...middle, '+bufsize=600')).toMatch(/flags: qr[^;]* tc[ ;].*EDNS: version: 0/s)
    const whole = await dig(at, ...middle, '+bufsize=1232')
    expect(whole).toMatch(/flags: qr(?![^;]* tc)/)
    expect(whole.match(/x{200}/g)).toHaveLength(5)
    // Beyond 1232 bytes nothing goes over UDP, however much the client would take.
    expect(await dig(at, 'big.example.test', 'TXT', '+ignore', '+bufsize=65535')).toMatch(
      /flags: qr[^;]* tc[ ;]/,
    )
    // And of its own accord dig comes again over TCP.
    expect((await dig(at, 'big.example.test', 'TXT')).match(/x{200}/g)).toHaveLength(40)
  })

  it('asks servers of both families', async () => {
    await using server = await startScriptedServer('::1', port, (query, send) => send(answerTo(query)))
    const at = await begin(['::1'])
    expect(await dig(at, '+short', 'www.example.test')).toBe('192.0.2.10\n')
    expect(server.queries).toHaveLength(1)
  })

  it('passes the id, EDNS options and records of the upstream unchanged', async () => {
    const cookie = '0123456789abcdef'
    await using server = await startScriptedServer('127.0.0.3', port, (query, send) => send(answerTo(query)))
    const at = await begin(['127.0.0.3'])
    await dig(at, 'www.example.test', `+cookie=${cookie}`, '+dnssec', '+subnet=192.0.2.0/24')
    const [query] = server.queries
    expect(query?.toString('hex')).toContain(cookie)
    expect(query?.toString('hex')).toContain('000800070001180') // Option 8, EDNS client subnet.
  })
})

describe('names of guests', () => {
  it('answers for guests and the gateway itself, both ways, with or without a server', async () => {
    const at = await begin([])
    const ask = (...question: string[]) => dig(at, '+short', ...question)
    expect(await ask('web.guest')).toBe('10.75.3.4\n')
    expect(await ask('DB.Guest', 'AAAA')).toBe('fdd4:1476:6c7e::a4b:305\n')
    expect(await ask('+tcp', 'db.guest')).toBe('10.75.3.5\n')
    expect(await ask('db', 'A')).toBe('10.75.3.5\n')
    expect(await ask('host.guest')).toBe('10.75.0.1\n')
    expect(await ask('host.guest', 'AAAA')).toBe('fdd4:1476:6c7e::1\n')
    expect(await ask('-x', '10.75.3.5')).toBe('db.guest.\n')
    expect(await ask('-x', 'fdd4:1476:6c7e::a4b:304')).toBe('web.guest.\n')
    expect(await ask('-x', '10.75.0.1')).toBe('host.guest.\n')
    expect(await ask('guest', 'NS')).toBe('host.guest.\n')
    expect((await ask('web.guest', 'ANY', '+notcp')).split('\n').sort()).toEqual([
      '',
      '10.75.3.4',
      'fdd4:1476:6c7e::a4b:304',
    ])
    expect(log).not.toHaveBeenCalled()
  })

  it('says how long an absent name is absent, and never asks upstream for one', async () => {
    await using server = await startScriptedServer('127.0.0.3', port, (query, send) => send(answerTo(query)))
    const at = await begin(['127.0.0.3'])
    expect(await dig(at, 'nobody.guest')).toMatch(/status: NXDOMAIN.*AUTHORITY: 1.*guest\.\s+5\s+IN\s+SOA/s)
    expect(await dig(at, 'web.guest', 'MX')).toMatch(/status: NOERROR.*ANSWER: 0, AUTHORITY: 1/s)
    expect(await dig(at, '-x', '10.75.200.1')).toMatch(
      /status: NXDOMAIN.*75\.10\.in-addr\.arpa\.\s+5\s+IN\s+SOA/s,
    )
    expect(await dig(at, '-x', 'fdd4:1476:6c7e::ffff')).toContain('status: NXDOMAIN')
    expect(await dig(at, '3.75.10.in-addr.arpa', 'PTR')).toMatch(/status: NOERROR.*ANSWER: 0/s)
    expect(server.queries).toHaveLength(0)
    await dig(at, '-x', '10.76.0.1')
    expect(server.queries).toHaveLength(1)
  })

  it('follows guests as they come and go', async () => {
    const at = await begin([])
    forwarder?.removeGuest(db.id)
    expect(await dig(at, 'db.guest')).toContain('status: NXDOMAIN')
    forwarder?.setGuest({ ...db, name: 'renamed' })
    expect(await dig(at, '+short', 'renamed.guest')).toBe('10.75.3.5\n')
    expect(await dig(at, '+short', '-x', '10.75.3.5')).toBe('renamed.guest.\n')
    forwarder?.setGuest({ ...db, mayMeetGuests: false })
    expect(await dig(at, 'db.guest')).toContain('status: NXDOMAIN')
  })
})

describe('the host’s resolver', () => {
  it('is followed when its file is written, replaced, or a link that turns elsewhere', async () => {
    const at = await begin(['127.0.0.1'])
    const who = () => dig(at, '+short', 'small.example.test', 'TXT')
    const becomes = (answer: string) =>
      vi.waitFor(async () => expect(await who()).toBe(`"${answer}"\n`), 10_000)
    await becomes('first server')
    writeServers(['127.0.0.2'])
    await becomes('second server')
    const other = join(folder, 'other')
    writeFileSync(other, 'nameserver 127.0.0.1\n')
    renameSync(other, resolvConf)
    await becomes('first server')
    const target = mkdtempSync(join(folder, 'run-'))
    writeFileSync(join(target, 'stub'), 'nameserver 127.0.0.2\n')
    unlinkSync(resolvConf)
    symlinkSync(join(target, 'stub'), resolvConf)
    await becomes('second server')
    writeFileSync(join(target, 'new'), 'nameserver 127.0.0.1\n')
    renameSync(join(target, 'new'), join(target, 'stub'))
    await becomes('first server')
    unlinkSync(resolvConf)
    await vi.waitFor(async () => expect(await dig(at, 'small.example.test')).toContain('SERVFAIL'), 10_000)
    writeServers(['127.0.0.2'])
    await becomes('second server')
  })

  it('answers SERVFAIL at once where the host has no server, and says so once', async () => {
    const at = await begin([])
    for (const _ of [1, 2]) expect(await dig(at, 'www.example.test')).toContain('status: SERVFAIL')
    expect(await dig(at, '+tcp', 'www.example.test')).toContain('status: SERVFAIL')
    expect(log.mock.calls).toEqual([['Cannot resolve names for guests: the host has no DNS server']])
  })
})

describe('servers that fail', () => {
  it('asks the next server after one that is silent, and first the next time', async () => {
    await using silent = await startScriptedServer('127.0.0.3', port, () => undefined)
    const at = await begin(['127.0.0.3', '127.0.0.1'], { upstreamTimeoutMs: 200 })
    expect(await dig(at, '+short', 'www.example.test')).toBe('192.0.2.10\n')
    expect(silent.queries).toHaveLength(1)
    expect(await dig(at, '+short', 'www.example.test')).toBe('192.0.2.10\n')
    expect(silent.queries).toHaveLength(1)
  })

  it('asks the next server after one that is not there, over UDP and TCP', async () => {
    const at = await begin(['127.0.0.9', '127.0.0.1'])
    expect(await dig(at, '+short', 'www.example.test')).toBe('192.0.2.10\n')
    forwarder?.[Symbol.dispose]()
    await front?.[Symbol.asyncDispose]()
    const again = await begin(['127.0.0.9', '127.0.0.1'])
    expect(await dig(again, '+short', '+tcp', 'www.example.test')).toBe('192.0.2.10\n')
  })

  it('asks the next server after one that only says it cannot, and passes that on where all do', async () => {
    const refuse = (query: Buffer, send: (message: Uint8Array) => void) => send(answerTo(query, 5))
    await using _first = await startScriptedServer('127.0.0.3', port, refuse)
    const at = await begin(['127.0.0.3', '127.0.0.1'])
    expect(await dig(at, '+short', 'www.example.test')).toBe('192.0.2.10\n')
    writeServers(['127.0.0.3'])
    await vi.waitFor(
      async () => expect(await dig(at, 'www.example.test')).toContain('status: REFUSED'),
      10_000,
    )
  })

  it('answers SERVFAIL where none answers, and says which were asked', async () => {
    const at = await begin(['127.0.0.9', '127.0.0.8', '2001:db8::53'], { upstreamTimeoutMs: 300 })
    expect(await dig(at, 'www.example.test')).toContain('status: SERVFAIL')
    expect(log).toHaveBeenCalledOnce()
    expect(log.mock.calls[0]?.[0]).toMatch(/127\.0\.0\.9: .*ECONNREFUSED; 127\.0\.0\.8: .*; 2001:db8::53: /)
  })

  it('passes over answers with a wrong id, a wrong question or from another port', async () => {
    const elsewhere = createSocket('udp4')
    elsewhere.bind(0, '127.0.0.3')
    await once(elsewhere, 'listening')
    await using _liar = await startScriptedServer('127.0.0.3', port, (query, send) => {
      const lie = (address: string) => answerTo(query, 0, address)
      const wrongId = lie('192.0.2.66')
      wrongId.writeUInt16BE((query.readUInt16BE(0) + 1) & 0xffff, 0)
      send(wrongId)
      const wrongName = lie('192.0.2.67')
      wrongName[13] = 'v'.charCodeAt(0)
      send(wrongName)
      const wrongType = lie('192.0.2.68')
      wrongType.writeUInt16BE(28, questionEnd(query) - 4)
      send(wrongType)
      send(query)
      send(Buffer.alloc(5))
      send(lie('192.0.2.69'), elsewhere)
      setImmediate(() => send(lie('192.0.2.10')))
    })
    const at = await begin(['127.0.0.3'])
    expect(await dig(at, '+short', 'www.example.test')).toBe('192.0.2.10\n')
    elsewhere.close()
  })

  it('asks each time from another port with another id', async () => {
    const ports = new Set<number>()
    const ids = new Set<number>()
    const server = createSocket('udp4')
    server.on('message', (query, client) => {
      ports.add(client.port)
      ids.add(query.readUInt16BE(0))
      server.send(answerTo(query), client.port, client.address)
    })
    server.bind(port, '127.0.0.3')
    await once(server, 'listening')
    const at = await begin(['127.0.0.3'])
    for (let count = 0; count < 10; count++) await dig(at, '+qid=7', 'www.example.test')
    server.close()
    expect(ports.size).toBeGreaterThan(5)
    expect(ids.size).toBeGreaterThan(5)
  })
})

describe('limits of a guest', () => {
  it('drops what is beyond its rate, reads it later over TCP, and leaves other guests alone', async () => {
    let nowMs = 0
    const settings = { ...defaultSettings, limits: { ...defaultLimits, dnsPerSecond: 3 } }
    const at = await begin([], { clock: () => nowMs, settings })
    for (let count = 0; count < 3; count++) expect(await dig(at, '+short', 'web.guest')).toBe('10.75.3.4\n')
    await expect(dig(at, '+time=1', 'web.guest')).rejects.toMatchObject({ code: 9 })
    const overTcp = dig(at, '+short', '+tcp', 'web.guest')
    await vi.waitFor(() => expect(front?.sockets.size).toBe(1))
    expect(forwarder?.counters(web.id)).toMatchObject({ queries: 3, local: 3, overRate: 1 })
    expect(forwarder?.dropped(web.id)).toBe(1)
    await using other = await startFront(forwarder as DnsForwarder, db.id)
    expect(await dig(other.port, '+short', 'web.guest')).toBe('10.75.3.4\n')
    nowMs = 400
    expect(await overTcp).toBe('10.75.3.4\n')
  })

  it('refuses what is one query too many on its way', async () => {
    await using silent = await startScriptedServer('127.0.0.3', port, () => undefined)
    const settings = { ...defaultSettings, limits: { ...defaultLimits, dnsOutstanding: 2 } }
    const at = await begin(['127.0.0.3'], { settings, upstreamTimeoutMs: 1000 })
    const waiting = ['a.example.test', 'b.example.test'].map((name) => dig(at, name))
    await vi.waitFor(() => expect(silent.queries.length).toBe(2))
    expect(await dig(at, 'c.example.test')).toContain('status: REFUSED')
    expect((await Promise.all(waiting))[0]).toContain('status: SERVFAIL')
    expect(forwarder?.counters(web.id)).toMatchObject({ overOutstanding: 1 })
  })

  it('closes the fifth connection, and one on which nothing happens', async () => {
    const at = await begin([], { idleMs: 300 })
    const connections = Array.from({ length: 4 }, () => connect(at, '127.0.0.1'))
    await Promise.all(connections.map((socket) => once(socket, 'connect')))
    await vi.waitFor(() => expect(front?.sockets.size).toBe(4))
    const closed = connections.map((socket) => once(socket.resume(), 'close'))
    const fifth = connect(at, '127.0.0.1').resume()
    fifth.on('error', () => undefined)
    await once(fifth, 'close')
    expect(forwarder?.counters(web.id)?.overConnections).toBe(1)
    await Promise.all(closed)
    expect(await dig(at, '+short', '+tcp', 'web.guest')).toBe('10.75.3.4\n')
  })
})

describe('streams', () => {
  it('answers pipelined queries in any pieces, and after the client has ended its side', async () => {
    const at = await begin(['127.0.0.1'])
    const names = ['www.example.test', 'web.guest', 'db.guest', 'www.example.test']
    const bytes = Buffer.concat(names.map((name, id) => frameMessage(queryFor(name, id))))
    const socket = connect({ port: at, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
    for (const byte of bytes) socket.write(Uint8Array.of(byte))
    socket.end()
    const reader = new MessageReader()
    const answers = new Map<number, string>()
    for await (const piece of socket) {
      for (const answer of reader.take(piece as Buffer)) {
        const view = Buffer.from(answer)
        answers.set(view.readUInt16BE(0), [...view.subarray(questionEnd(view) + 12).subarray(0, 4)].join('.'))
      }
    }
    expect(answers.get(0)).toBe('192.0.2.10')
    expect(answers.get(1)).toBe('10.75.3.4')
    expect(answers.get(2)).toBe('10.75.3.5')
    expect(answers.get(3)).toBe('192.0.2.10')
  })

  it('closes the connections of a guest that goes', async () => {
    const at = await begin([])
    const socket = connect(at, '127.0.0.1').resume()
    await vi.waitFor(() => expect(front?.sockets.size).toBe(1))
    forwarder?.removeGuest(web.id)
    await once(socket, 'close')
  })
})

/** A query for A in class IN. */
function queryFor(name: string, id: number): Buffer {
  const header = Buffer.from([id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0])
  const labels = name.split('.').flatMap((label) => [Buffer.from([label.length]), Buffer.from(label)])
  return Buffer.concat([header, ...labels, Buffer.from([0, 0, 1, 0, 1])])
}

function questionEnd(message: Buffer): number {
  return message.indexOf(0, 12) + 5
}

/** An answer to `query`: an address, or an error. */
function answerTo(query: Buffer, rcode = 0, address = '192.0.2.10'): Buffer {
  const end = questionEnd(query)
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, ...address.split('.').map(Number)])
  const answer = Buffer.concat([query.subarray(0, end), ...(rcode === 0 ? [record] : [])])
  answer.writeUInt16BE(0x8180 | rcode, 2)
  answer.writeUInt16BE(rcode === 0 ? 1 : 0, 6)
  answer.writeUInt32BE(0, 8)
  return answer
}
