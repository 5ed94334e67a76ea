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

  it.each([['-p'], ['--publish'], ['-v'], ['--network']])('says why there is no %s', (option) => {
    expect(() => read(option, 'a', 'x')).toThrow(/^Cannot use .*: guests have no (network|volumes) yet$/)
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
