// `bulkhead run` with real guests: streams, statuses, signals, what the program finds, and nothing left behind.
import { createHash, randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { image, LabHost } from './lab-host.ts'

let host: LabHost
beforeAll(async () => {
  host = await LabHost.start()
})
afterAll(() => host[Symbol.asyncDispose]())
afterEach(async () => {
  expect(await host.leftBehind()).toEqual([])
})
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const run = (...words: string[]) => host.bulkhead(['run', '--rm', image, ...words])

describe('bulkhead run', () => {
  it('keeps stdout and stderr apart and passes the status on', async () => {
    expect(await run('sh', '-c', 'echo hi; echo no >&2; exit 7')).toEqual({
      status: 7,
      signal: null,
      stdout: 'hi\n',
      stderr: 'no\n',
    })
  })

  it('carries 8 MB of anything to the program, and its end', async () => {
    const input = randomBytes(8_000_000)
    const words = ['run', '--rm', '-i', image, 'sha256sum']
    const { status, stdout } = await host.bulkhead(words, { input })
    expect([status, stdout]).toEqual([0, `${sha256(input)}  -\n`])
  })

  it('carries bytes both ways as they are', async () => {
    const input = Buffer.concat([randomBytes(3_000_000), Buffer.from('\r\n\0\n')])
    const { child, finish } = host.start(['run', '--rm', '-i', image, 'cat'], { input })
    const hash = createHash('sha256')
    child.stdout?.on('data', (chunk: Buffer) => hash.update(chunk))
    expect((await finish()).status).toBe(0)
    expect(hash.digest('hex')).toBe(sha256(input))
  })

  it('gives a program without -i no input', async () => {
    expect(await run('sh', '-c', 'cat; echo end')).toMatchObject({ status: 0, stdout: 'end\n' })
  })

  it.each([
    ['a program that kills itself', ['sh', '-c', 'kill -9 $$'], 137, ''],
    [
      'a program that is not there',
      ['nosuch'],
      127,
      'bulkhead: Cannot run "nosuch": no such file or directory',
    ],
    [
      'a file that may not be executed',
      ['/etc/passwd'],
      126,
      'bulkhead: Cannot run "/etc/passwd": permission denied',
    ],
    ['a folder', ['/etc'], 126, 'bulkhead: Cannot run "/etc": '],
    ['a program that says nothing', ['true'], 0, ''],
  ])('tells %s by its status', async (_what, words, status, stderr) => {
    const finished = await run(...words)
    expect([finished.status, finished.stdout, finished.stderr.slice(0, stderr.length)]).toEqual([
      status,
      '',
      stderr,
    ])
    expect(finished.stderr.trim().split('\n')).toHaveLength(1)
  })

  it('passes signals on to the program', async () => {
    const script =
      'trap "echo term; exit 9" TERM; trap "echo usr1" USR1; echo up; while :; do sleep 0.1; done'
    const { child, finish } = host.start(['run', '--rm', image, 'sh', '-c', script])
    let said = ''
    child.stdout?.on('data', (chunk: Buffer) => {
      said += chunk.toString()
      if (said === 'up\n') child.kill('SIGUSR1')
      if (said === 'up\nusr1\n') child.kill('SIGTERM')
    })
    expect((await finish()).status).toBe(9)
    expect(said).toBe('up\nusr1\nterm\n')
  })

  it('gives the program what was asked for', async () => {
    const file = join(host.folder, 'env')
    writeFileSync(file, 'FROM_FILE=one two\nBOTH=file\n')
    const options = [
      '-e',
      'BOTH=option',
      '-e',
      'CALLER',
      '--env-file',
      file,
      '-w',
      '/some/where',
      '-u',
      'nobody',
      '-h',
      'box',
    ]
    const script = 'echo "$FROM_FILE|$BOTH|$CALLER"; pwd; id -un; hostname; echo $$'
    const { status, stdout } = await host.bulkhead(['run', '--rm', ...options, image, 'sh', '-c', script], {
      environment: { CALLER: 'value' },
    })
    expect([status, stdout]).toEqual([0, 'one two|option|value\n/some/where\nnobody\nbox\n1\n'])
  })

  it('gives the guest the memory and the processors that were asked for', async () => {
    const words = ['run', '--rm', '-m', '256m', '--cpus', '2', image]
    const script = "awk '/MemTotal/ { print int($2 / 1024) }' /proc/meminfo; grep -c ^processor /proc/cpuinfo"
    const { stdout } = await host.bulkhead([...words, 'sh', '-c', script])
    const [memoryMiB = 0, processors] = stdout.split('\n').map(Number)
    expect(processors).toBe(2)
    expect(memoryMiB).toBeGreaterThan(128)
    expect(memoryMiB).toBeLessThanOrEqual(256)
  })

  it('replaces the entrypoint, and makes the root unwritable when asked', async () => {
    const words = [
      'run',
      '--rm',
      '--read-only',
      '--entrypoint',
      'sh',
      image,
      '-c',
      'echo x > /file || echo "still $?"',
    ]
    expect(await host.bulkhead(words)).toMatchObject({ status: 0, stdout: 'still 1\n' })
  })

  it('says in one sentence that there is not enough memory', async () => {
    const { status, stdout, stderr } = await host.bulkhead(['run', '--rm', '-m', '64g', image, 'true'])
    expect([status, stdout]).toEqual([125, ''])
    expect(stderr).toMatch(
      /^bulkhead: Cannot start guest "[a-z-]+": Xen has \d+ MiB free, \d{5} MiB are needed\n {2}.+\n$/,
    )
    expect((await host.bulkhead(['ps', '-aq'])).stdout).toBe('')
  })

  it('ends when nobody reads its output any more', async () => {
    const { child, said, finish } = host.start(['run', '--name', 'loud', image, 'yes'])
    await said('y\n')
    child.stdout?.destroy()
    expect(await finish()).toMatchObject({ status: 125 })
    expect(await host.bulkhead(['rm', '-f', 'loud'])).toMatchObject({ status: 0 })
  })

  it('lets the program wait for a slow reader, and loses nothing', async () => {
    // Some 7 MB: more than everything on the way can hold.
    const count = 1_000_000
    const { child, said, finish } = host.start(['run', '--rm', image, 'seq', String(count)])
    const hash = createHash('sha256')
    child.stdout?.on('data', (chunk: Buffer) => hash.update(chunk))
    await said('1\n')
    child.stdout?.pause()
    // Long enough for the guest to fill everything on the way: what it may not do is go on.
    await host.lab.exec('sleep 3')
    expect((await host.bulkhead(['ps', '-q'])).stdout).not.toBe('')
    child.stdout?.resume()
    expect((await finish()).status).toBe(0)
    const expected = createHash('sha256')
    for (let number = 1; number <= count; number++) expected.update(`${number}\n`)
    expect(hash.digest('hex')).toBe(expected.digest('hex'))
  })
})
