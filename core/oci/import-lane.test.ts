import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ImportLane, sendStream } from './import-lane.ts'

let sender: Socket
let receiver: Socket

/** A connected pair of unix sockets, as the core host and the worker have. */
beforeEach(async () => {
  const name = path.join(tmpdir(), `bulkhead-lane-${crypto.randomUUID()}`)
  const server = createServer().listen(name)
  await once(server, 'listening')
  sender = connect(name)
  const [accepted]: Socket[] = await once(server, 'connection')
  if (accepted === undefined) throw new Error('no connection')
  receiver = accepted
  server.close()
})

afterEach(() => {
  sender.destroy()
  receiver.destroy()
})

const pieces = (bytes: Buffer, size: number) =>
  Readable.from(
    Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
      bytes.subarray(index * size, (index + 1) * size),
    ),
  )

test('streams that are sent at the same time arrive whole and apart', async () => {
  const lane = new ImportLane()
  const running = lane.run(receiver)
  const contents = [
    Buffer.alloc(5_000_000, 'abc'),
    Buffer.alloc(3_000_001, 'xyz'),
    Buffer.alloc(0),
    Buffer.alloc(1, 'q'),
  ]
  const sizes = [70_000, 4_000_000, 1, 1]
  const sent = contents.map((content, number) =>
    sendStream(sender, number, pieces(content, sizes[number] ?? 1)),
  )
  const received = await Promise.all(contents.map((_, number) => buffer(lane.open(number))))
  for (const [number, content] of contents.entries()) expect(received[number]?.equals(content)).toBe(true)
  await Promise.all(sent)
  sender.end()
  await running
})

test('a source that fails breaks off its stream, and the sender learns why', async () => {
  const lane = new ImportLane()
  lane.run(receiver).catch(() => {})
  const failing = async function* () {
    yield Buffer.from('some')
    throw new Error('disk on fire')
  }
  const reading = buffer(lane.open(1))
  await expect(sendStream(sender, 1, failing())).rejects.toThrow('disk on fire')
  await expect(reading).rejects.toThrow('broke off')
})

test('what nobody reads any more is dropped, and other streams go on', async () => {
  const lane = new ImportLane()
  lane.run(receiver).catch(() => {})
  lane.open(1)
  lane.close(1)
  await sendStream(sender, 1, pieces(Buffer.alloc(10_000_000), 1_000_000))
  await sendStream(sender, 2, pieces(Buffer.from('next'), 4))
  expect((await buffer(lane.open(2))).toString()).toBe('next')
})

test('a lane that ends breaks off what is not complete', async () => {
  const lane = new ImportLane()
  const running = lane.run(receiver)
  const reading = buffer(lane.open(1))
  sender.write(Buffer.from([1, 0, 0, 0, 4, 0, 0, 0, 65]))
  sender.end()
  await expect(reading).rejects.toThrow('broke off')
  await running
})
