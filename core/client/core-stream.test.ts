import { randomBytes } from 'node:crypto'
import { afterEach, describe, expect, it } from 'vitest'
import { connectCore } from './core-client.ts'
import { CoreError } from './core-error.ts'
import type { StreamReader } from './core-stream.ts'
import { type Script, type StreamHandler, startScriptedCore } from './scripted-core.fixture.ts'

let stack = new AsyncDisposableStack()
afterEach(async () => {
  await stack.disposeAsync()
  stack = new AsyncDisposableStack()
})
const open = async (handler: StreamHandler, reader?: StreamReader, script: Script = {}) => {
  const core = stack.use(await startScriptedCore({ ...script, streams: { t: handler } }))
  const client = stack.use(await connectCore(core.target))
  return { core, stream: stack.use(await client.openStream('t', reader)) }
}
const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'nothing',
    (error: unknown) => (error instanceof CoreError ? error.code : String(error)),
  )

describe('a stream', () => {
  it('is refused with the reason of the core host', async () => {
    const core = stack.use(await startScriptedCore({}))
    const client = stack.use(await connectCore(core.target))
    expect(await codeOf(client.openStream('stale'))).toBe('stream.bad-ticket')
  })

  it('hands over output, ends and the exit record in their order', async () => {
    const seen: unknown[] = []
    const { stream } = await open(
      (peer) => {
        peer.send('data', 1, 0, 'hi\n')
        peer.send('data', 2, 0, 'no\n')
        peer.send('end', 1, 3)
        peer.send('end', 2, 3)
        peer.exit({ reason: 'exited', code: 7, message: 'The program ended with status 7' })
      },
      {
        data: (output, bytes, offset) => seen.push([output, Buffer.from(bytes).toString(), offset]),
        end: (output, length) => seen.push([output, 'end', length]),
      },
    )
    expect(await stream.finished).toMatchObject({ reason: 'exited', code: 7 })
    expect(seen).toEqual([
      [1, 'hi\n', 0],
      [2, 'no\n', 0],
      [1, 'end', 3],
      [2, 'end', 3],
    ])
  })

  it('acknowledges after a quarter of the window and when it is idle', async () => {
    const acknowledged: number[] = []
    const { stream } = await open(
      async (peer) => {
        peer.send('data', 1, 0, Buffer.alloc(1000))
        acknowledged.push((await peer.nextOf('ack'))?.offset ?? -1)
        peer.send('data', 1, 1000, Buffer.alloc(2000))
        acknowledged.push((await peer.nextOf('ack'))?.offset ?? -1)
        peer.exit({ reason: 'exited', code: 0, message: '' })
      },
      undefined,
      { windowBytes: 4096 },
    )
    await stream.finished
    expect(acknowledged).toEqual([1000, 3000])
  })

  it('says nothing before the reader has consumed, so that the program waits', async () => {
    const first = Promise.withResolvers<void>()
    const told = Promise.withResolvers<number | undefined>()
    const { stream } = await open(
      async (peer) => {
        peer.send('data', 1, 0, Buffer.alloc(4096))
        told.resolve((await peer.nextOf('ack'))?.offset)
        peer.exit({ reason: 'exited', code: 0, message: '' })
      },
      { data: () => first.resolve() },
      { windowBytes: 4096 },
    )
    await first.promise
    expect(
      await Promise.race([told.promise, new Promise((resolve) => setTimeout(resolve, 100, 'quiet'))]),
    ).toBe('quiet')
    stream.acknowledge(1, 4096)
    expect(await told.promise).toBe(4096)
    await stream.finished
  })

  it('tells what a lossy reader missed, and acknowledges across the gap', async () => {
    const seen: unknown[] = []
    const skipped = Buffer.alloc(8)
    skipped.writeBigUInt64LE(9_000_000n)
    let last: number | undefined
    const { stream } = await open(
      async (peer) => {
        peer.send('data', 1, 500, 'a')
        peer.send('skip', 1, 9_000_501, skipped)
        peer.send('data', 1, 9_000_501, Buffer.alloc(4000))
        do last = (await peer.nextOf('ack'))?.offset
        while (last !== undefined && last < 9_004_501)
        peer.exit({ reason: 'exited', code: 0, message: '' })
      },
      {
        data: (output, bytes, offset) => {
          seen.push([offset, bytes.length])
          queueMicrotask(() => stream.acknowledge(output, offset + bytes.length))
        },
        skip: (_output, bytes, offset) => seen.push(['skip', bytes, offset]),
      },
      { windowBytes: 4096 },
    )
    await stream.finished
    expect(last).toBe(9_004_501)
    expect(seen).toEqual([
      [500, 1],
      ['skip', 9_000_000, 9_000_501],
      [9_000_501, 4000],
    ])
  })

  it('sends stdin byte by byte as it was written, never more than the window allows', async () => {
    const input = randomBytes(300_000)
    const received: Buffer[] = []
    let worst = 0
    const { stream } = await open(
      async (peer) => {
        let consumed = 0
        let total = 0
        for (let frame = await peer.next(); frame?.kind === 'data'; frame = await peer.next()) {
          expect(frame.offset).toBe(total)
          total += frame.payload.length
          received.push(Buffer.from(frame.payload))
          worst = Math.max(worst, total - consumed)
          if (total - consumed >= 5000 || total === input.length) {
            consumed = total
            peer.send('ack', 0, consumed)
          }
        }
        peer.exit({ reason: 'exited', code: 0, message: '' })
      },
      undefined,
      { windowBytes: 10_000 },
    )
    for (let at = 0; at < input.length; at += 70_000) void stream.write(input.subarray(at, at + 70_000))
    await stream.end()
    await stream.finished
    expect(Buffer.concat(received).equals(input)).toBe(true)
    expect(worst).toBeGreaterThan(5000)
    expect(worst).toBeLessThanOrEqual(10_000)
  })

  it('ends stdin with its length', async () => {
    const ended = Promise.withResolvers<number | undefined>()
    const { stream } = await open(async (peer) => ended.resolve((await peer.nextOf('end'))?.offset))
    void stream.write(Buffer.from('abc'))
    await stream.end()
    expect(await ended.promise).toBe(3)
  })

  it('takes no more input when the program has closed its stdin or is gone', async () => {
    const { stream } = await open(
      async (peer) => {
        await peer.nextOf('data')
        peer.send('end', 0, 0)
        await peer.nextOf('resize')
        peer.exit({ reason: 'exited', code: 0, message: '' })
      },
      undefined,
      { windowBytes: 100 },
    )
    expect(await stream.write(Buffer.alloc(1000))).toBe(false)
    stream.resize(40, 132)
    await stream.finished
    expect(await stream.write(Buffer.alloc(1000))).toBe(false)
  })

  it('sends the size of the terminal and signals as the contract has them', async () => {
    const frames: string[] = []
    const { stream } = await open(async (peer) => {
      for (let count = 0; count < 2; count++) {
        const frame = await peer.next()
        frames.push(`${frame?.kind} ${Buffer.from(frame?.payload ?? []).toString('hex')}`)
      }
      peer.exit({ reason: 'signalled', signal: 15, code: 143, message: '' })
    })
    stream.resize(40, 132)
    stream.signal(15)
    expect(await stream.finished).toMatchObject({ code: 143 })
    expect(frames).toEqual(['resize 28008400', 'signal 0f000000'])
  })

  it('breaks in one sentence when the core host dies, and so does a waiting write', async () => {
    const { core, stream } = await open(() => {}, undefined, { windowBytes: 10 })
    const writing = codeOf(stream.write(Buffer.alloc(1000)))
    core.die()
    expect(await codeOf(stream.finished)).toBe('client.connection-lost')
    expect(await writing).toBe('client.connection-lost')
  })

  it('passes on why it cannot go on', async () => {
    const { stream } = await open((peer) =>
      peer.send('error', 0, 0, '{"code":"oci.bad-archive","message":"That is no archive"}'),
    )
    expect(await codeOf(stream.finished)).toBe('oci.bad-archive')
  })

  it.each<[string, [number, number, number][]]>([
    [
      'bytes that leave a gap',
      [
        [1, 0, 10],
        [1, 11, 10],
      ],
    ],
    [
      'more bytes than the window',
      [
        [1, 0, 60],
        [1, 60, 60],
      ],
    ],
    ['an unknown stream', [[3, 0, 1]]],
  ])('is not fooled by %s', async (_what, chunks) => {
    const { stream } = await open(
      (peer) => {
        for (const [output, offset, length] of chunks) peer.send('data', output, offset, Buffer.alloc(length))
      },
      { data: () => {} },
      { windowBytes: 100 },
    )
    expect(await codeOf(stream.finished)).toBe('client.bad-frame')
  })

  it('of a log is over when its end has come, without an exit record', async () => {
    const { stream } = await open(
      (peer) => {
        peer.send('data', 1, 0, 'line\n')
        peer.send('end', 1, 5)
        peer.socket.end()
      },
      undefined,
      { kind: 'logs' },
    )
    expect(await stream.finished).toBeUndefined()
  })

  it('to a port of a guest is over when both directions have ended, whoever was first', async () => {
    const lengths: number[] = []
    const { stream } = await open(
      async (peer) => {
        peer.send('end', 1, 0)
        lengths.push((await peer.nextOf('data'))?.payload.length ?? -1)
        lengths.push((await peer.nextOf('end'))?.offset ?? -1)
        peer.socket.end()
      },
      { end: () => void stream.write(Buffer.from('still here')).then(() => stream.end()) },
      { kind: 'connect' },
    )
    expect(await stream.finished).toBeUndefined()
    expect(lengths).toEqual([10, 10])
  })

  it('to a port of a guest takes no more when the guest takes no more, and goes on bringing', async () => {
    const brought: string[] = []
    const { stream } = await open(
      async (peer) => {
        await peer.nextOf('data')
        peer.send('end', 0, 0)
        peer.send('data', 1, 0, 'later')
        peer.send('end', 1, 5)
        peer.socket.end()
      },
      { data: (_output, bytes) => void brought.push(Buffer.from(bytes).toString()) },
      { kind: 'connect', windowBytes: 16 },
    )
    expect(await stream.write(Buffer.from('more than the window'))).toBe(false)
    expect(await stream.finished).toBeUndefined()
    expect(brought).toEqual(['later'])
  })

  it('to a port of a guest breaks when it is cut while one direction is open', async () => {
    const { stream } = await open(
      (peer) => {
        peer.send('end', 1, 0)
        peer.socket.end()
      },
      {},
      { kind: 'connect' },
    )
    expect(await codeOf(stream.finished)).toBe('client.connection-lost')
  })

  it('detaches when it is closed', async () => {
    const hungUp = Promise.withResolvers<void>()
    const { stream } = await open(async (peer) => {
      while ((await peer.next()) !== undefined);
      hungUp.resolve()
    })
    stream.close()
    expect(await stream.finished).toBeUndefined()
    await hungUp.promise
  })
})
