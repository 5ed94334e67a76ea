// The parts that read and write what the contracts describe, alone: frames, bundles, users. The probe is built with
// the address and undefined-behaviour sanitizers: what they find ends it with a status that fails the test.

import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildTools, tools } from './build.ts'

const contracts = join(import.meta.dirname, '../../docs/contracts')
const bundleText = readFileSync(join(contracts, 'bundle.example.json'))

beforeAll(() => buildTools())

function probe(values: string[], input: string | Buffer = ''): string[] {
  const environment = { ...process.env, ASAN_OPTIONS: 'detect_leaks=0' }
  const output = execFileSync(tools.probe, values, {
    input,
    encoding: 'utf8',
    env: environment,
    maxBuffer: 1 << 28,
  })
  return output.split('\n').slice(0, -1)
}

/** What the probe says to each document. */
function judge(what: 'json' | 'bundle', documents: Buffer[]): string[] {
  const pieces = documents.flatMap((document) => {
    const length = Buffer.alloc(4)
    length.writeUInt32LE(document.length)
    return [length, document]
  })
  const answers = probe([what], Buffer.concat(pieces))
  expect(answers.length).toBe(documents.length)
  return answers
}

interface ExampleFrame {
  name: string
  type: string
  stream: number
  payload: Record<string, unknown>
  hex: string
}

const examples: { frames: ExampleFrame[]; refused: { name: string; hex: string }[] } = JSON.parse(
  readFileSync(join(contracts, 'channel.examples.json'), 'utf8'),
)

/** The probe's line for a frame that the guest writes. */
function lineOf({ type, stream, payload }: ExampleFrame): string {
  const p = payload as Record<string, number & string & boolean> & {
    streams: { stream: number; direction: number; offset: number; limit: number; ended: boolean }[]
  }
  switch (type) {
    case 'hello': {
      const streams = p.streams.map((s) =>
        [s.stream, s.direction, s.offset, s.limit, Number(s.ended)].join(' '),
      )
      return ['hello', p.epoch, ...streams].join(' ')
    }
    case 'data':
      return `data ${stream} ${p.offset} ${p.bytes}`
    case 'credit':
      return `credit ${stream} ${p.limit}`
    case 'end':
      return `end ${stream} ${p.offset}`
    case 'ready':
      return `ready ${p.bootTimeNs} ${Number(p.rootMounted)}`
    case 'started':
      return `started ${p.pid}`
    case 'exec-failed':
      return `exec-failed ${p.errno} ${p.text}`
    case 'exited':
      return `exited ${p.kind === 'signal' ? 1 : 0} ${p.value} ${Number(p.coreDumped)}`
    default:
      return `failed ${p.errno} ${p.step} ${p.text}`
  }
}

const fromHost = ['resize', 'signal', 'shutdown']

describe('frames', () => {
  it.each(examples.frames.filter(({ type }) => !fromHost.includes(type)))(
    'writes "$name" as the contract has it',
    (frame) => {
      expect(probe(['frames'], `${lineOf(frame)}\n`)).toEqual([frame.hex])
    },
  )

  it('reads what the host sends', () => {
    const hex = (name: string) => `read ${examples.frames.find((frame) => frame.name === name)?.hex}\n`
    const names = ['hello from dom0', 'three bytes of stdout', 'end of stdin', 'resize', 'signal', 'shutdown']
    expect(probe(['frames'], names.map(hex).join(''))).toEqual([
      'type=1 stream=0 epoch=16909060 offset=0 limit=0 rows=0 columns=0 signal=0 group=0 data=',
      'type=2 stream=2 epoch=0 offset=4294967296 limit=0 rows=0 columns=0 signal=0 group=0 data=68690a',
      'type=4 stream=1 epoch=0 offset=20971520 limit=0 rows=0 columns=0 signal=0 group=0 data=',
      'type=32 stream=0 epoch=0 offset=0 limit=0 rows=40 columns=132 signal=0 group=0 data=',
      'type=33 stream=0 epoch=0 offset=0 limit=0 rows=0 columns=0 signal=15 group=0 data=',
      'type=34 stream=0 epoch=0 offset=0 limit=0 rows=0 columns=0 signal=0 group=0 data=',
    ])
  })

  it.each(examples.refused)('refuses "$name"', ({ hex }) => {
    expect(probe(['frames'], `read ${hex}\n`)[0]).toMatch(/^refused: /)
  })

  it('survives any bytes', () => {
    const frames = fc.sample(fc.uint8Array({ minLength: 16, maxLength: 120 }), { numRuns: 5000, seed: 3 })
    const lines = frames.map((bytes) => `read ${Buffer.from(bytes).toString('hex')}\n`)
    expect(probe(['frames'], lines.join('')).length).toBe(frames.length)
  })
})

describe('the bundle', () => {
  const hex = (text: string) => Buffer.from(text).toString('hex')

  it('is read as the example has it', () => {
    const example = JSON.parse(bundleText.toString())
    const { process, dns } = example
    const expected = [
      `ok id=${example.id} hostname=web device=/dev/xvda filesystem=squashfs upper=1 size=0 cwd=/srv/app`,
      'user=www-data:adm terminal=0 stdin=1 rows=24 columns=80',
      'network=00163e5a014b mtu=1500 0a4b034b over 0a4b0001',
      'fdd414766c7e0000000000000a4b034b over fdd414766c7e00000000000000000001',
      ...process.argv.map((text: string) => `argv=${hex(text)}`),
      ...process.env.map((text: string) => `env=${hex(text)}`),
      `group=${hex('4')} server=${hex(dns.servers[0])} server=${hex(dns.servers[1])}`,
      `search=${hex('guest')} option=${hex('edns0')}`,
      `host=10.75.0.9 name=${hex('db')} name=${hex('db.guest')}`,
      `seed=${Buffer.from(example.seed, 'base64').toString('hex')}`,
    ]
    expect(judge('bundle', [bundleText])).toEqual([expected.join(' ')])
  })

  const wrong: [string, (bundle: ReturnType<typeof JSON.parse>) => void, string][] = [
    ['an id that is too short', (bundle) => (bundle.id = 'ab'), 'id'],
    ['a host name with a line break', (bundle) => (bundle.hostname = 'a\nb'), 'hostname'],
    ['no arguments', (bundle) => (bundle.process.argv = []), 'process.argv'],
    ['an argument that is no string', (bundle) => (bundle.process.argv = ['a', 1]), 'process.argv'],
    ['a variable without a name', (bundle) => (bundle.process.env = ['=x']), 'process.env'],
    ['a relative working directory', (bundle) => (bundle.process.cwd = 'srv'), 'process.cwd'],
    ['a negative number of rows', (bundle) => (bundle.process.rows = -1), 'process.rows'],
    [
      'a size that is no whole number',
      (bundle) => (bundle.root.upper.sizeBytes = 1.5),
      'root.upper.sizeBytes',
    ],
    ['a device outside /dev', (bundle) => (bundle.root.device = '/etc/passwd'), 'root.device'],
    ['a server with a line break', (bundle) => (bundle.dns.servers = ['1.1.1.1\nsearch x']), 'dns.servers'],
    ['a host without an address', (bundle) => (bundle.hosts[0].address = ''), 'hosts.address'],
    ['a network of no known kind', (bundle) => (bundle.network.kind = 'nat'), 'network.kind'],
    ['a MAC that is too long', (bundle) => (bundle.network.mac += ':00'), 'network.mac'],
    ['a MAC with other bytes', (bundle) => (bundle.network.mac = '00:16:3e:5a:01:xx'), 'network.mac'],
    ['a MAC without colons', (bundle) => (bundle.network.mac = '00-16-3e-5a-01-4b'), 'network.mac'],
    ['an MTU that is too small', (bundle) => (bundle.network.mtu = 1279), 'network.mtu'],
    ['an MTU that is too large', (bundle) => (bundle.network.mtu = 65_536), 'network.mtu'],
    [
      'an address of the other family',
      (bundle) => (bundle.network.ipv4.address = 'fd00::1'),
      'network.ipv4.address',
    ],
    ['an address with a length', (bundle) => (bundle.network.ipv6.address += '/64'), 'network.ipv6.address'],
    ['no gateway', (bundle) => delete bundle.network.ipv6.gateway, 'network.ipv6.gateway'],
    ['a short seed', (bundle) => (bundle.seed = 'AAAA'), 'seed'],
    ['a missing key', (bundle) => delete bundle.process.user, 'process.user'],
  ]

  it.each(wrong)('is refused with %s', (_, change, key) => {
    const bundle = JSON.parse(bundleText.toString())
    change(bundle)
    expect(judge('bundle', [Buffer.from(JSON.stringify(bundle))])[0]).toMatch(
      `refused: read-bundle: ${key} is not `,
    )
  })

  it('may want no network', () => {
    const bundle = { ...JSON.parse(bundleText.toString()), network: { kind: 'none' } }
    expect(judge('bundle', [Buffer.from(JSON.stringify(bundle))])[0]).toContain(' network= argv=')
  })

  it('may hold keys of later versions', () => {
    const bundle = { ...JSON.parse(bundleText.toString()), later: { a: [1, null, true] } }
    expect(judge('bundle', [Buffer.from(JSON.stringify(bundle))])[0]).toMatch(/^ok /)
  })

  it('damaged anywhere is refused or read, never overrun', () => {
    const mutations = fc.sample(
      fc.array(fc.tuple(fc.nat(bundleText.length - 1), fc.nat(255), fc.nat(3)), {
        minLength: 1,
        maxLength: 4,
      }),
      { numRuns: 20_000, seed: 11 },
    )
    const answers = judge('bundle', mutations.map(damage))
    expect(answers.filter((answer) => answer.startsWith('refused')).length).toBeGreaterThan(10_000)
  })
})

/** Replaces, removes, doubles or inserts bytes of the example. */
function damage(changes: [number, number, number][]): Buffer {
  let text = Buffer.from(bundleText)
  for (const [place, byte, kind] of changes) {
    const at = Math.min(place, text.length - 1)
    const [before, after] = [text.subarray(0, at), text.subarray(at + 1)]
    if (kind === 0) text = Buffer.concat([before, Buffer.of(byte), after])
    if (kind === 1) text = Buffer.concat([before, after])
    if (kind === 2) text = Buffer.concat([text.subarray(0, at), text.subarray(Math.max(0, at - byte))])
    if (kind === 3) text = before
    if (text.length === 0) return text
  }
  return text
}

describe('JSON', () => {
  /** Whether the platform's own parser takes the bytes, and they are well-formed UTF-8. */
  function isJson(bytes: Buffer): boolean {
    try {
      JSON.parse(new TextDecoder('utf8', { fatal: true, ignoreBOM: true }).decode(bytes))
      return true
    } catch {
      return false
    }
  }

  const stricter = /U\+0000|lone surrogate|name twice|too deep|too many/

  function compare(documents: Buffer[]): void {
    judge('json', documents).forEach((answer, index) => {
      const document = documents[index] ?? Buffer.alloc(0)
      if (answer === 'ok') expect(isJson(document), document.toString()).toBe(true)
      else if (!stricter.test(answer)) expect(isJson(document), `${answer}: ${document}`).toBe(false)
    })
  }

  it('is taken where the platform takes it, but for the limits that are written down', () => {
    const values = fc.sample(fc.json({ maxDepth: 6 }), { numRuns: 5000, seed: 5 })
    compare(values.map((text) => Buffer.from(text)))
    const letters = fc.constantFrom(...'{}[]",:0123456789.eE+-truefalsn \\u\n\u00e9"'.split(''))
    const noise = fc.sample(fc.array(letters, { maxLength: 12 }), { numRuns: 30_000, seed: 6 })
    compare(noise.map((text) => Buffer.from(text.join(''))))
    compare(
      fc
        .sample(fc.uint8Array({ maxLength: 8 }), { numRuns: 10_000, seed: 7 })
        .map((bytes) => Buffer.concat([Buffer.from('"'), bytes, Buffer.from('"')])),
    )
  })

  it('keeps its limits', () => {
    const documents = [
      '['.repeat(33) + ']'.repeat(33),
      '["\\u0000"]',
      '["\\ud800"]',
      '{"a":1,"a":2}',
      `[${'1,'.repeat(70_000)}1]`,
    ]
    const answers = judge('json', [
      ...documents.map((text) => Buffer.from(text)),
      Buffer.alloc((1 << 20) + 1, ' '),
    ])
    expect(answers).toEqual([
      'refused: too deep',
      'refused: a string holds U+0000',
      'refused: a lone surrogate',
      'refused: a name twice in one object',
      'refused: too many values',
      'refused: longer than 1 MiB',
    ])
  })
})

describe('users', () => {
  let folder: string

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'guest-init-users-'))
    writeFileSync(
      join(folder, 'passwd'),
      [
        '# a comment',
        '',
        'root:x:0:0:root:/root:/bin/sh',
        'broken:x:12',
        'web:x:33:34:,,:/var/www',
        '1000:x:77:78::/odd',
        'nohome:x:50:51::',
        'other:x:1000:1000::/home/other',
        'big:x:4294967295:0::/',
        'last:x:60:61::/last',
      ].join('\n'),
    )
    writeFileSync(
      join(folder, 'group'),
      'root:x:0:\nadm:x:4:web,root\nx:x:5:webb,we\nops:x:90:root,web\nwww:x:34:\nshort:x\n',
    )
  })

  afterAll(() => rmSync(folder, { recursive: true }))

  it.each([
    ['', [], 'uid=0 gid=0 home=/root groups=0,4,90'],
    ['web', [], 'uid=33 gid=34 home=/var/www groups=34,4,90'],
    ['33', [], 'uid=33 gid=34 home=/var/www groups=34,4,90'],
    ['web:adm', [], 'uid=33 gid=4 home=/var/www groups=4'],
    ['web:4711', ['ops', '8', '4711'], 'uid=33 gid=4711 home=/var/www groups=4711,90,8'],
    [':adm', [], 'uid=0 gid=4 home=/root groups=4'],
    ['12345', [], 'uid=12345 gid=0 home=/ groups=0'],
    ['12345:6', [], 'uid=12345 gid=6 home=/ groups=6'],
    ['1000', [], 'uid=77 gid=78 home=/odd groups=78'],
    ['nohome', [], 'uid=50 gid=51 home=/ groups=51'],
    ['last', [], 'uid=60 gid=61 home=/last groups=61'],
    ['4294967295', [], 'refused: find-user: the image has no user 4294967295'],
    ['big', [], 'refused: find-user: the image has no user big'],
    ['broken', [], 'refused: find-user: the image has no user broken'],
    ['web:none', [], 'refused: find-user: the image has no group none'],
    ['web', ['none'], 'refused: find-user: the image has no group none'],
    ['-1', [], 'refused: find-user: the image has no user -1'],
  ])('%j with groups %j is %s', (specification, groups, expected) => {
    expect(probe(['user', folder, specification, ...groups])).toEqual([expected])
  })

  it('need no tables where they are numbers', () => {
    const empty = join(folder, 'empty')
    mkdirSync(empty)
    expect(probe(['user', empty, '7:8', '9'])).toEqual(['uid=7 gid=8 home=/ groups=8,9'])
    expect(probe(['user', empty, ''])).toEqual(['uid=0 gid=0 home=/ groups=0'])
    expect(probe(['user', empty, 'root'])).toEqual(['refused: find-user: the image has no user root'])
  })
})
