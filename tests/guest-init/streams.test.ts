// stdin, stdout, stderr and terminals: every byte, in order, and never more than the other side takes.

import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildTools, makeTestImage, type TestImage } from './build.ts'
import { long, readHello, words } from './frames.ts'
import { Machine, type MachineOptions, type ProcessOptions } from './machine.ts'

let image: TestImage

beforeAll(() => {
  buildTools()
  image = makeTestImage()
})

afterAll(() => image[Symbol.dispose]())

function boot(process: ProcessOptions, options: Partial<MachineOptions> = {}): Machine {
  return new Machine({ device: image.device, process, ...options })
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Memory of a process in KiB. */
function residentKiB(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
}

describe('pipes', () => {
  it.each(['plain', 'sanitized'] as const)(
    '20 MB of random bytes go in and come out unchanged (%s)',
    async (binary) => {
      const bytes = randomBytes(20_000_000)
      await using machine = boot({ argv: ['cat'], stdin: true }, { binary })
      await machine.frame('started')
      await machine.feed(bytes)
      expect(await machine.exit()).toBe('status 0')
      expect(sha256(machine.bytes(2))).toBe(sha256(bytes))
      expect(machine.frames.find((frame) => frame.name === 'end' && frame.stream === 2)?.payload).toEqual(
        long(bytes.length),
      )
    },
  )

  it('the end of stdin arrives behind its last byte, also when it was sent before the start', async () => {
    await using machine = boot({ argv: ['sha256sum'], stdin: true })
    await machine.until(() => machine.reports !== '')
    await machine.feed(Buffer.from('abc'))
    expect(await machine.exit()).toBe('status 0')
    expect(machine.text(2)).toBe(`${sha256(Buffer.from('abc'))}  -\n`)
  })

  it('a program that closes its stdin does not stop the bytes, and nobody is killed by them', async () => {
    const script = 'exec 0<&-; echo closed; while ! [ -e /tmp/go ]; do kill -0 1 && sleep 0.01; done; exit 6'
    await using machine = boot({ argv: ['sh', '-c', script], stdin: true })
    await machine.until(() => machine.text(2) === 'closed\n')
    await machine.feed(Buffer.alloc(1_000_000))
    machine.signal(9)
    expect(await machine.exit()).toBe('signal 9')
  })

  it('a program that does not read its stdin holds the sender back at one window beyond its pipe', async () => {
    await using machine = boot({ argv: ['sleep', '1000'], stdin: true })
    await machine.frame('started')
    const feeding = machine.feed(Buffer.alloc(1_000_000)).catch(() => 'held back')
    await machine.until(() => machine.fed > 65536 && machine.fed === machine.inputLimit)
    expect(machine.fed).toBeLessThanOrEqual(131072)
    machine.signal(9)
    expect(await machine.exit()).toBe('signal 9')
    await feeding
  })

  it('without credit the program waits at its pipe, memory does not grow, and nothing is lost', async () => {
    const count = 300_000
    await using machine = boot({ argv: ['seq', String(count)] }, { credits: false })
    await machine.until(() => machine.bytes(2).length === 65536)
    const before = residentKiB(machine.pid)
    machine.send('credit', 2, long(500_000))
    await machine.until(() => machine.bytes(2).length === 500_000)
    expect(residentKiB(machine.pid) - before).toBeLessThan(512)
    expect(machine.find('exited')).toBeUndefined()
    machine.send('credit', 2, long(100_000_000))
    expect(await machine.exit()).toBe('status 0')
    const expected = Array.from({ length: count }, (_, index) => `${index + 1}\n`).join('')
    expect(machine.text(2)).toBe(expected)
  })

  it('a host that takes nothing lets the ring fill; later it finds everything in order', async () => {
    const count = 400_000
    await using machine = boot({ argv: ['seq', String(count)] }, { attached: false })
    await machine.until(() => machine.ring.watch() > 65536)
    machine.send('credit', 2, long(100_000_000))
    await machine.until(() => machine.ring.watch() > 256 * 1024 - 16400, 'a full ring')
    machine.reading = true
    machine.drain()
    expect(await machine.exit()).toBe('status 0')
    expect(machine.text(2).length).toBe(Array.from({ length: count }, (_, i) => `${i + 1}\n`).join('').length)
    expect(machine.text(2).endsWith(`\n${count}\n`)).toBe(true)
  })

  it('one stream without credit does not hold up the other', async () => {
    const script = 'seq 100000 & seq 3 >&2; wait'
    await using machine = boot({ argv: ['sh', '-c', script] }, { credits: false })
    await machine.until(() => machine.bytes(2).length === 65536 && machine.text(3) === '1\n2\n3\n')
    machine.send('credit', 2, long(1_000_000))
    expect(await machine.exit()).toBe('status 0')
  })
})

describe('re-attaching', () => {
  it('a new host learns the streams from the guest, and goes on without a gap', async () => {
    await using machine = boot({ argv: ['cat'], stdin: true })
    await machine.frame('started')
    await machine.feed(Buffer.from('first '), { end: false })
    await machine.until(() => machine.text(2) === 'first ')
    machine.reading = false
    await machine.feed(Buffer.from('second '), { end: false })
    await machine.until(() => machine.ring.watch() > 0)
    machine.attach()
    machine.reading = true
    machine.send('hello', 0, words(1, 0xabcdef01, 0, 0))
    const hello = readHello((await machine.frame('hello')).payload)
    expect(hello).toEqual({
      epoch: 0xabcdef01,
      streams: [
        { stream: 1, direction: 1, offset: 13, limit: 65536, ended: false },
        { stream: 2, direction: 0, offset: 13, limit: 65536 + 6, ended: false },
        { stream: 3, direction: 0, offset: 0, limit: 65536, ended: false },
      ],
    })
    await machine.feed(Buffer.from('third'))
    expect(await machine.exit()).toBe('status 0')
    expect(machine.text(2)).toBe('first second third')
  })

  it('a host that comes after the end is told that the streams have ended', async () => {
    await using machine = boot({ argv: ['echo', 'x'] }, { attached: false })
    await machine.until(() => machine.ring.watch() > 150)
    machine.reading = true
    machine.drain()
    await machine.frame('exited')
    machine.send('hello', 0, words(1, 7, 0, 0))
    const hello = readHello((await machine.frame('hello')).payload)
    expect(hello.streams.map((stream) => [stream.stream, stream.offset, stream.ended])).toEqual([
      [2, 2, true],
      [3, 0, true],
    ])
    await machine.powerOff()
  })
})

describe('terminals', () => {
  it('a pty of the asked size is the controlling terminal, and stdout and stderr are one', async () => {
    const script =
      'tty; stty size; echo error >&2; echo $TERM; stat -c %u /dev/pts/0; ls -l /proc/1/fd | wc -l'
    const process = { argv: ['sh', '-c', script], terminal: true, rows: 33, columns: 101, user: 'web' }
    await using machine = boot(process)
    expect(await machine.exit()).toBe('status 0')
    const [name, size, error, term, owner] = machine.text(2).split('\r\n')
    expect([name, size, error, term, owner]).toEqual(['/dev/pts/0', '33 101', 'error', 'xterm', '1000'])
    expect(machine.frames.filter((frame) => frame.name === 'end').map((frame) => frame.stream)).toEqual([2])
  })

  it('resize reaches the program as SIGWINCH, Ctrl-C as SIGINT, and typing is echoed', async () => {
    const script =
      'trap "stty size" WINCH; trap "echo interrupted; exit 9" INT; echo up; while :; do sleep 0.02; done'
    await using machine = boot({ argv: ['sh', '-c', script], terminal: true })
    await machine.until(() => machine.text(2) === 'up\r\n')
    const resize = Buffer.alloc(8)
    resize.writeUInt16LE(50, 0)
    resize.writeUInt16LE(160, 2)
    machine.send('resize', 0, resize)
    await machine.until(() => machine.text(2).includes('50 160\r\n'))
    await machine.feed(Buffer.from('typed'), { end: false })
    await machine.until(() => machine.text(2).endsWith('typed'))
    await machine.feed(Buffer.from('\x03'), { end: false })
    expect(await machine.exit()).toBe('status 9')
    expect(machine.text(2)).toContain('typed^C')
    expect(machine.text(2)).toContain('interrupted\r\n')
  })

  it('the last output of a program that floods its terminal and ends arrives complete', async () => {
    await using machine = boot({ argv: ['seq', '50000'], terminal: true })
    expect(await machine.exit()).toBe('status 0')
    expect(machine.text(2)).toBe(Array.from({ length: 50_000 }, (_, i) => `${i + 1}\r\n`).join(''))
  })

  it('output that a slow host leaves in the terminal is kept after the program has ended', async () => {
    await using machine = boot(
      { argv: ['sh', '-c', 'seq 13000; echo last'], terminal: true },
      { credits: false },
    )
    await machine.until(() => machine.bytes(2).length === 65536)
    machine.send('credit', 2, long(1_000_000))
    expect(await machine.exit()).toBe('status 0')
    expect(machine.text(2)).toBe(
      `${Array.from({ length: 13_000 }, (_, i) => `${i + 1}\r\n`).join('')}last\r\n`,
    )
  })

  it('the end of input is typed, and a terminal outlives a program that closes its files', async () => {
    await using machine = boot({ argv: ['cat'], terminal: true, stdin: true })
    await machine.frame('started')
    await machine.feed(Buffer.from('line\n'))
    expect(await machine.exit()).toBe('status 0')
    expect(machine.text(2)).toBe('line\r\nline\r\n')
    const script =
      'exec 0<&- 1>&- 2>&-; exec 1>/dev/tty; echo back; [ -c /dev/console ] && echo console > /dev/console'
    await using other = boot({ argv: ['sh', '-c', script], terminal: true })
    expect(await other.exit()).toBe('status 0')
    expect(other.text(2)).toBe('back\r\nconsole\r\n')
  })

  it('a paste of 100 KiB arrives whole at a program that reads lines', async () => {
    const text = `${'x'.repeat(79)}\n`.repeat(1280)
    await using machine = boot({ argv: ['sh', '-c', 'stty -echo; echo up; sha256sum'], terminal: true })
    await machine.until(() => machine.text(2) === 'up\r\n')
    await machine.feed(Buffer.from(text))
    expect(await machine.exit()).toBe('status 0')
    expect(machine.text(2)).toBe(`up\r\n${sha256(Buffer.from(text))}  -\r\n`)
  })
})
