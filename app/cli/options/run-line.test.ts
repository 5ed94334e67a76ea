import { CommanderError } from 'commander'
import { describe, expect, it } from 'vitest'
import { UsageError } from '../failure.ts'
import { verbCommand } from '../verb-command.ts'
import { verbs } from '../verbs.ts'
import { configure, readRunLine } from './run-line.ts'

const read = (...words: string[]) => {
  const [verb] = verbs
  if (verb === undefined) throw new Error('There is no verb')
  const command = verbCommand(verb)
  configure(command)
  command.parse(words, { from: 'user' })
  return readRunLine(command, { LANG: 'C' }, { rows: 40, columns: 132 })
}

describe('readRunLine()', () => {
  it('leaves to the core host what was not said', () => {
    expect(read('busybox').spec).toEqual({
      image: 'busybox',
      process: { env: [], groups: [], terminal: false, stdin: false },
      kernelArguments: [],
      readOnlyRoot: false,
      autoRemove: false,
      labels: {},
    })
  })

  it('leaves everything behind the image to the program', () => {
    const { spec, options } = read('-i', 'busybox', 'ls', '-la', '--rm', '--', '-d')
    expect(spec.process?.command).toEqual(['ls', '-la', '--rm', '--', '-d'])
    expect(options).toMatchObject({ interactive: true, rm: false, detach: false })
  })

  it.each<[string, string[], object]>([
    ['-itd', ['-itd', 'x'], { process: { terminal: true, stdin: true, rows: 40, columns: 132 } }],
    ['--rm', ['--rm', 'x'], { autoRemove: true }],
    ['--name', ['--name', 'web', 'x'], { name: 'web' }],
    ['-e', ['-e', 'A=1', '-e', 'LANG', '-e', 'GONE', 'x'], { process: { env: ['A=1', 'LANG=C'] } }],
    ['-m', ['-m', '1g', 'x'], { memoryMiB: 1024 }],
    ['-m512', ['-m512', 'x'], { memoryMiB: 512 }],
    ['--cpus', ['--cpus=2', 'x'], { vcpus: 2 }],
    ['-w', ['-w', '/srv', 'x'], { process: { cwd: '/srv' } }],
    ['-u', ['-u', '1:2', '--group-add', 'video', 'x'], { process: { user: '1:2', groups: ['video'] } }],
    ['-h', ['-h', 'box', 'x'], { hostname: 'box' }],
    [
      '--entrypoint',
      ['--entrypoint', 'sh', 'x', '-c', 'a'],
      { process: { entrypoint: ['sh'], command: ['-c', 'a'] } },
    ],
    ['--entrypoint ""', ['--entrypoint', '', 'x'], { process: { entrypoint: [] } }],
    ['-l', ['-l', 'a=b', '-l', 'c', 'x'], { labels: { a: 'b', c: '' } }],
    ['--read-only', ['--read-only', 'x'], { readOnlyRoot: true }],
    [
      '--kernel-arg',
      ['--kernel-arg', 'quiet', '--kernel-arg', 'x=1', 'i'],
      { kernelArguments: ['quiet', 'x=1'] },
    ],
  ])('understands %s', (_what, words, spec) => {
    expect(read(...words).spec).toMatchObject(spec)
  })

  it('says when it rounds processors up', () => {
    expect(read('--cpus', '1.5', 'x')).toMatchObject({
      spec: { vcpus: 2 },
      notes: ['Virtual processors are whole: 1.5 became 2'],
    })
  })

  it.each([
    ['-v', 'guests have no volumes yet'],
    ['--add-host', 'guests get no entries for /etc/hosts yet'],
    ['--ip', "a guest's addresses come from the host and stay with it"],
  ])('says why there is no %s', (option, reason) => {
    expect(() => read(option, 'a', 'x')).toThrow(new RegExp(`^Cannot use .*: ${reason}$`))
  })

  it.each<[string, string[], object]>([
    [
      '-p',
      ['-p', '8080:80', '--publish=[::1]:53:53/udp', 'x'],
      {
        ports: [
          { protocol: 'tcp', bind: '', hostPort: 8080, guestPort: 80 },
          { protocol: 'udp', bind: '::1', hostPort: 53, guestPort: 53 },
        ],
      },
    ],
    ['--network none', ['--network', 'none', 'x'], { kind: 'none' }],
    ["docker's word for nat", ['--net=bridge', 'x'], { kind: 'nat' }],
    ['--no-guest-traffic', ['--no-guest-traffic', 'x'], { guests: false }],
    [
      '--dns',
      ['--dns', '192.0.2.53', '--dns-search', 'lan', '--dns-option', 'ndots:2', '--dns-opt=rotate', 'x'],
      { dns: { servers: ['192.0.2.53'], search: ['lan'], options: ['ndots:2', 'rotate'] } },
    ],
    [
      'rules in their order',
      ['--allow', '10.1.0.0/16:443', '--deny', '10.0.0.0/8', '--allow=any/icmp', 'x'],
      {
        policy: [
          { action: 'allow', range: '10.1.0.0/16', ports: [443, 443] },
          { action: 'deny', range: '10.0.0.0/8' },
          { action: 'allow', range: 'any', protocol: 'icmp' },
        ],
      },
    ],
  ])('understands %s', (_what, words, network) => {
    expect(read(...words).spec.network).toEqual(network)
  })

  it.each([
    [['--network', 'host'], "Cannot put a guest on the host's own network: it is a machine of its own"],
    [['--network', 'container:web'], 'Cannot put a guest on the network of another: "container:web"'],
    [['--network', 'backend'], 'Cannot use the network "backend": there are nat and none'],
    [['--network', 'none', '-p', '80:80'], 'Cannot publish ports of a guest that has no network'],
    [['--network', 'none', '-P'], 'Cannot publish ports of a guest that has no network'],
    [['-p', '80:80', '-p', '80:81'], 'Cannot publish port 80/tcp of the host twice'],
    [['--dns', 'localhost'], 'Cannot use the name server "localhost": it is no address'],
    [['--dns=1.1.1.1', '--dns=1.1.1.2', '--dns=1.1.1.3', '--dns=::1'], 'Cannot use 4 name servers'],
  ])('refuses %j in one sentence', (words, sentence) => {
    expect(() => read(...words, 'x')).toThrow(sentence)
    expect(() => read(...words, 'x')).toThrow(UsageError)
  })

  it('keeps the rules of one line apart from those of the next', () => {
    expect(read('--deny', 'any', 'x').spec.network?.policy).toHaveLength(1)
    expect(read('--deny', 'any', 'x').spec.network?.policy).toHaveLength(1)
  })

  it.each([[['-w', 'srv', 'x']], [['-m', 'much', 'x']], [['-l', '=b', 'x']], [['']]])(
    'refuses %j',
    (words) => {
      expect(() => read(...words)).toThrow(UsageError)
    },
  )

  it.each([[[]], [['--nme', 'a', 'x']], [['--pull', 'often', 'x']], [['-m']]])(
    'does not understand %j',
    (words) => {
      expect(() => read(...words)).toThrow(CommanderError)
    },
  )
})
