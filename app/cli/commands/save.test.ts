import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Job } from '../../../core/api/methods.ts'
import type { MethodHandler, StreamHandler } from '../../../core/client/scripted-core.fixture.ts'
import { runCommand, setUpForEach, startCommand, startInTerminal } from '../command-line.fixture.ts'
import { job, jobs } from './image-samples.fixture.ts'

const { folder, start } = setUpForEach()

describe('bulkhead save', () => {
  const archive = Buffer.alloc(3_000_000, 'archive')
  const send: StreamHandler = async (peer) => {
    let acknowledged = 0
    for (let at = 0; at < archive.length; at += 60_000) {
      peer.send('data', 1, at, archive.subarray(at, at + 60_000))
      while (at + 120_000 - acknowledged > 1_048_576) {
        const frame = await peer.nextOf('ack')
        if (frame === undefined) return
        acknowledged = frame.offset
      }
    }
    peer.send('end', 1, archive.length)
    peer.socket.end()
  }
  /** A core host that exports with `handler`, and whose job ends as `last` says when that is over. */
  const exporter = async (
    handler: StreamHandler,
    last: Partial<Job> = {},
    leave: MethodHandler = () => ({ ended: true }),
  ) => {
    const over = Promise.withResolvers<void>()
    return await start({
      kind: 'export',
      methods: {
        ...jobs(),
        'images.export': () => ({ job: 'j', ticket: 't' }),
        'jobs.get': async () => {
          await over.promise
          return { ...job, kind: 'export', references: [], ...last }
        },
        'jobs.leave': leave,
      },
      streams: {
        t: async (peer) => {
          await handler(peer)
          over.resolve()
        },
      },
    })
  }

  it('writes a file of its owner, complete', async () => {
    const path = join(folder(), 'app.tar')
    const { socketPath, calls } = await exporter(send)
    expect(
      await runCommand(['save', '-o', path, '--format', 'oci-archive', 'a', 'b'], { socketPath }),
    ).toMatchObject({
      status: 0,
      stdout: '',
      stderr: '',
    })
    expect(readFileSync(path).equals(archive)).toBe(true)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(calls[0]?.params).toEqual({ images: ['a', 'b'], format: 'oci-archive' })
  })

  it('writes into a pipe', async () => {
    const { socketPath } = await exporter(send)
    const { child, finish } = startCommand(['image', 'save', 'a'], { socketPath })
    const chunks: Buffer[] = []
    child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk))
    expect((await finish()).status).toBe(0)
    expect(Buffer.concat(chunks).equals(archive)).toBe(true)
  })

  it('ends quietly when nobody reads the pipe any more', async () => {
    const { socketPath } = await exporter(send)
    const { child, finish } = startCommand(['save', 'a'], { socketPath })
    await new Promise((resolve) => child.stdout?.once('data', resolve))
    child.stdout?.destroy()
    expect(await finish()).toMatchObject({ status: 141, stderr: '' })
  })

  it('leaves nothing of a file, and keeps the one before, where the export fails', async () => {
    const files = folder()
    writeFileSync(join(files, 'app.tar'), 'before')
    const error = { code: 'oci.corrupt', message: 'Cannot save app: a layer is damaged' }
    const { socketPath } = await exporter(
      (peer) => {
        peer.send('data', 1, 0, archive.subarray(0, 1000))
        peer.send('error', 0, 0, JSON.stringify(error))
        peer.socket.end()
      },
      { state: 'failed', error },
    )
    expect(await runCommand(['save', '-o', join(files, 'app.tar'), 'a'], { socketPath })).toMatchObject({
      status: 1,
      stderr: 'bulkhead: Cannot save app: a layer is damaged\n',
    })
    expect(readdirSync(files)).toEqual(['app.tar'])
    expect(readFileSync(join(files, 'app.tar'), 'utf8')).toBe('before')
  })

  it('takes a connection that breaks for no whole archive', async () => {
    const files = folder()
    const { socketPath } = await exporter(
      (peer) => {
        peer.send('data', 1, 0, archive.subarray(0, 1000))
        peer.socket.end()
      },
      { state: 'cancelled' },
    )
    expect(await runCommand(['save', '-o', join(files, 'app.tar'), 'a'], { socketPath })).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('broke off'),
    })
    expect(readdirSync(files)).toEqual([])
  })

  it.each([
    ['once', 1],
    ['twice, without waiting for a core host that does not answer', 2],
  ])('leaves nothing at Ctrl+C, pressed %s', async (_what, times) => {
    const files = folder()
    const sent = Promise.withResolvers<void>()
    const left = Promise.withResolvers<void>()
    const { socketPath, calls } = await exporter(
      async (peer) => {
        peer.send('data', 1, 0, archive.subarray(0, 1000))
        await peer.nextOf('ack')
        sent.resolve()
        await peer.next()
      },
      {},
      () => {
        left.resolve()
        return times === 1 ? { ended: true } : new Promise(() => {})
      },
    )
    const { child, finish } = startCommand(['save', '-o', join(files, 'app.tar'), 'a'], { socketPath })
    await sent.promise
    expect(readdirSync(files)).toHaveLength(1)
    child.kill('SIGINT')
    await left.promise
    if (times === 2) child.kill('SIGINT')
    expect(await finish()).toMatchObject({ status: 130 })
    expect(readdirSync(files)).toEqual([])
    expect(calls.at(-1)?.method).toBe('jobs.leave')
  })

  it.each([
    [
      ['-o', '/no/such/folder/app.tar'],
      1,
      'Cannot save to /no/such/folder/app.tar: its folder does not exist',
    ],
    [['-o', '/'], 1, 'Cannot save to /: it is a folder'],
    [['-o', '/dev/full'], 1, 'Cannot save to /dev/full: the disk is full'],
    [['--progress', 'json'], 2, 'Cannot write progress and the archive to standard output'],
    [['--format', 'zip'], 2, "argument 'zip' is invalid"],
  ])('says what it cannot do: %j', async (words, status, sentence) => {
    const { socketPath } = await exporter(send)
    const finished = await runCommand(['save', ...words, 'a'], { socketPath })
    expect([finished.status, finished.stderr]).toEqual([status, expect.stringContaining(sentence)])
  })

  it('refuses a terminal', async () => {
    const { stdout, status } = await startInTerminal(['save', 'a'], {}).finish()
    expect([status, stdout]).toEqual([
      1,
      expect.stringContaining('Cannot save to standard output: it is a terminal'),
    ])
  })
})

describe('bulkhead load', () => {
  it("is import, with docker's words", async () => {
    const path = join(folder(), 'app.tar')
    writeFileSync(path, 'archive')
    const { socketPath, calls } = await start({
      kind: 'import',
      methods: { ...jobs(), 'images.import': () => ({ job: 'j', ticket: 't' }) },
      streams: { t: () => {} },
    })
    const loaded = { status: 0, stdout: 'Loaded image: docker.io/library/app:1\n' }
    expect(await runCommand(['load', '-i', path], { socketPath })).toMatchObject(loaded)
    expect(await runCommand(['image', 'load'], { socketPath, input: 'archive' })).toMatchObject(loaded)
    expect(calls.filter(({ method }) => method === 'images.import').map(({ params }) => params)).toEqual([
      { sizeBytes: 7 },
      {},
    ])
  })
})
