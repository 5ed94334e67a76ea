import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ByteLane } from './byte-lane.ts'

let near: Socket
let far: Socket
const broken: string[] = []

/** A connected pair of unix sockets, as the core host and the worker have. */
beforeEach(async () => {
  const name = path.join(tmpdir(), `bulkhead-lane-${crypto.randomUUID()}`)
  const server = createServer().listen(name)
  await once(server, 'listening')
  near = connect(name)
  const [accepted]: Socket[] = await once(server, 'connection')
  if (accepted === undefined) throw new Error('no connection')
  far = accepted
  server.close()
  broken.length = 0
})

afterEach(() => {
  near.destroy()
  far.destroy()
})

const laneOn = (socket: Socket) => new ByteLane(socket, (reason) => broken.push(reason))
const pair = () => ({ here: laneOn(near), there: laneOn(far) })
const pieces = (bytes: Buffer, size: number) =>
  Readable.from(
    Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
      bytes.subarray(index * size, (index + 1) * size),
    ),
  )
const frame = (stream: number, kind: number, value: number, payload = '') => {
  const bytes = Buffer.alloc(12 + payload.length)
  for (const [index, field] of [stream, kind, value].entries()) bytes.writeUInt32LE(field, index * 4)
  bytes.write(payload, 12)
  return bytes
}

test('streams that go both ways at the same time arrive whole and apart', async () => {
  const { here, there } = pair()
  const contents = [
    Buffer.alloc(5_000_000, 'abc'),
    Buffer.alloc(3_000_001, 'xyz'),
    Buffer.alloc(0),
    Buffer.alloc(1, 'q'),
  ]
  const sizes = [70_000, 4_000_000, 1, 1]
  const ways = contents.flatMap((content, number) => {
    const size = sizes[number] ?? 1
    const [from, to] = number % 2 === 0 ? [here, there] : [there, here]
    const sent = from.send(number, pieces(content, size))
    return [{ content, sent, received: buffer(to.receive(number)) }]
  })
  for (const { content, sent, received } of ways) {
    expect((await received).equals(content)).toBe(true)
    await sent
  }
})

test('a stream whose reader stands still holds up its sender, and no other stream', async () => {
  const { here, there } = pair()
  let takenBytes = 0
  const counted = async function* () {
    for (let count = 0; count < 100; count++) {
      takenBytes += 100_000
      yield Buffer.alloc(100_000)
    }
  }
  const still = there.receive(1)
  const held = here.send(1, counted())
  const other = buffer(there.receive(2))
  await here.send(2, pieces(Buffer.alloc(8_000_000), 500_000))
  expect((await other).length).toBe(8_000_000)
  still[Symbol.dispose]()
  await held
  expect(takenBytes).toBeLessThan(1_300_000)
})

test('a source that fails breaks off its stream, and the sender learns why', async () => {
  const { here, there } = pair()
  const failing = async function* () {
    yield Buffer.from('some')
    throw new Error('disk on fire')
  }
  const reading = buffer(there.receive(1))
  await expect(here.send(1, failing())).rejects.toThrow('disk on fire')
  await expect(reading).rejects.toThrow('broke off')
})

test.each([0, 4])('an end after %i bytes waits for a reader that comes late', async (sizeBytes) => {
  const { here, there } = pair()
  const failing = async function* () {
    if (sizeBytes > 0) yield Buffer.alloc(sizeBytes)
    throw new Error('disk on fire')
  }
  const sent = Promise.allSettled([here.send(1, pieces(Buffer.alloc(sizeBytes), 4)), here.send(2, failing())])
  // Something that comes after on the same lane.
  const other = buffer(there.receive(3))
  await here.send(3, pieces(Buffer.from('x'), 1))
  await other
  expect((await buffer(there.receive(1))).length).toBe(sizeBytes)
  await expect(buffer(there.receive(2))).rejects.toThrow('broke off')
  await sent
})

test('a reader that leaves ends its sender, before or after it has begun', async () => {
  const { here, there } = pair()
  there.receive(1)[Symbol.dispose]()
  await here.send(1, pieces(Buffer.alloc(10_000_000), 1_000_000))
  const left = there.receive(2)
  const sent = here.send(2, pieces(Buffer.alloc(10_000_000), 1_000_000))
  for await (const chunk of left) {
    expect(chunk.length).toBeGreaterThan(0)
    left[Symbol.dispose]()
  }
  await sent
  const next = buffer(there.receive(3))
  await here.send(3, pieces(Buffer.from('next'), 4))
  expect((await next).toString()).toBe('next')
})

test('thousands of streams one after the other leave nothing behind', async () => {
  const { here, there } = pair()
  for (let stream = 0; stream < 2000; stream++) {
    const receiver = there.receive(stream)
    const received = buffer(receiver)
    await here.send(stream, pieces(Buffer.from('x'), 1))
    expect((await received).length).toBe(1)
    receiver[Symbol.dispose]()
  }
  expect(broken).toEqual([])
})

test('a lane that ends breaks off what is not complete, both ways', async () => {
  const { here, there } = pair()
  const reading = buffer(there.receive(1))
  const sending = here.send(2, pieces(Buffer.alloc(10_000_000), 1_000_000))
  const outcomes = Promise.allSettled([reading, sending])
  near.destroy()
  const over = { status: 'rejected', reason: expect.objectContaining({ code: 'oci.worker-died' }) }
  expect(await outcomes).toEqual([over, over])
  await expect(there.send(3, pieces(Buffer.from('late'), 4))).rejects.toThrow('has ended')
  await expect(buffer(there.receive(4))).rejects.toThrow('has ended')
})

test.each([
  ['a kind that is none', [frame(1, 9, 0)]],
  ['a frame that is too large', [frame(1, 1, 2 ** 20)]],
  ['more than was allowed', Array.from({ length: 5 }, () => frame(1, 1, 2 ** 18, 'x'.repeat(2 ** 18)))],
  ['credit for thousands of streams', Array.from({ length: 2000 }, (_, stream) => frame(stream, 4, 1))],
])('%s ends the lane', async (_, frames) => {
  const lane = laneOn(near)
  const receiver = lane.receive(1)
  for (const bytes of frames) far.write(bytes)
  far.resume()
  await once(near, 'close')
  expect(broken).toHaveLength(1)
  await expect(buffer(receiver)).rejects.toThrow('has ended')
})
