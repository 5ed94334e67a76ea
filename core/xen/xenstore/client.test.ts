import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { domainId } from '../domain-id.ts'
import type { Xenstore } from './client.ts'
import { openXenstore } from './open.ts'
import { readableBy } from './permissions.ts'
import { encodeMessage, encodeStrings, MESSAGE, type Message, MessageDecoder } from './wire.ts'

// A peer on a real unix socket that says what the test tells it to say: for what a real xenstored does not do
// on demand (conflicts, nonsense, a connection that breaks).
class Peer {
  readonly requests: Message[] = []
  answer: (request: Message) => void = () => {}
  #socket: Socket | undefined

  accept(socket: Socket): void {
    this.#socket = socket
    const decoder = new MessageDecoder()
    socket.on('data', (chunk: Buffer) => {
      for (const request of decoder.push(chunk)) {
        this.requests.push(request)
        this.answer(request)
      }
    })
    socket.on('error', () => {})
  }

  reply(request: Message, payload: string | Buffer, type = request.type): void {
    this.send({ ...request, type, payload: Buffer.from(payload) })
  }

  send(message: Message): void {
    this.#socket?.write(encodeMessage(message))
  }

  event(path: string, token: string): void {
    this.send({
      type: MESSAGE.watchEvent,
      requestId: 0,
      transactionId: 0,
      payload: encodeStrings(path, token),
    })
  }

  hangUp(): void {
    this.#socket?.destroy()
  }

  typesSeen(): readonly number[] {
    return this.requests.map((request) => request.type)
  }
}

let folder: string
let server: Server
let peer: Peer
let xenstore: Xenstore

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'xenstore-'))
  const socketPath = join(folder, 'socket')
  peer = new Peer()
  server = createServer((socket) => peer.accept(socket))
  server.listen(socketPath)
  await once(server, 'listening')
  xenstore = await openXenstore({ transport: 'socket', socketPath })
})

afterEach(async () => {
  xenstore.close()
  await xenstore.closed
  peer.hangUp()
  server.close()
  rmSync(folder, { recursive: true })
})

describe('requests', () => {
  test('are matched to answers by their id, in whatever order these come', async () => {
    const held: Message[] = []
    peer.answer = (request) => {
      held.push(request)
      if (held.length < 3) return
      for (const one of held.reverse()) peer.reply(one, one.payload.subarray(0, -1))
    }
    const values = await Promise.all([xenstore.read('/a'), xenstore.read('/b'), xenstore.read('/c')])
    expect(values).toEqual(['/a', '/b', '/c'])
  })

  test('fail with the name of the error and what was tried', async () => {
    peer.answer = (request) => peer.reply(request, 'EACCES\0', MESSAGE.error)
    await expect(xenstore.write('/a', 'x')).rejects.toMatchObject({
      code: 'xen.xenstore-failed',
      errorName: 'EACCES',
      message: 'Cannot write "/a": permission denied (EACCES)',
    })
  })

  test('of a missing node give undefined', async () => {
    peer.answer = (request) => peer.reply(request, 'ENOENT\0', MESSAGE.error)
    expect(await xenstore.read('/a')).toBeUndefined()
    expect(await xenstore.list('/a')).toBeUndefined()
    await xenstore.remove('/a')
  })

  test('write a value and its permissions without waiting in between', async () => {
    peer.answer = (request) => {
      if (request.type === MESSAGE.setPermissions) for (const one of peer.requests) peer.reply(one, 'OK\0')
    }
    await xenstore.write('/a', 'value', { permissions: readableBy(domainId(7)) })
    expect(peer.requests.map((request) => request.payload.toString())).toEqual(['/a\0value', '/a\0n0\0r7\0'])
  })

  test('refuse what does not fit into a message', async () => {
    await expect(xenstore.write('/a', 'x'.repeat(4094))).rejects.toThrow('are more than 4096')
    expect(peer.requests).toEqual([])
  })

  test('end when their signal aborts, and the late answer harms nobody', async () => {
    const controller = new AbortController()
    const arrived = Promise.withResolvers<Message>()
    peer.answer = (request) => arrived.resolve(request)
    const read = xenstore.read('/slow', { signal: controller.signal })
    const request = await arrived.promise
    controller.abort(new Error('enough'))
    await expect(read).rejects.toThrow('enough')
    peer.answer = (next) => peer.reply(next, 'fast')
    peer.reply(request, 'late')
    expect(await xenstore.read('/fast')).toBe('fast')
  })

  test('fail when the connection breaks, the waiting and the later ones', async () => {
    peer.answer = () => peer.hangUp()
    await expect(xenstore.read('/a')).rejects.toMatchObject({ code: 'xen.xenstore-lost' })
    await expect(xenstore.read('/a')).rejects.toMatchObject({ code: 'xen.xenstore-lost' })
    expect((await xenstore.closed).message).toContain('lost')
  })

  test('fail when the peer does not speak the protocol', async () => {
    peer.answer = (request) => peer.reply(request, 'x', MESSAGE.directory)
    await expect(xenstore.read('/a')).rejects.toMatchObject({ code: 'xen.xenstore-protocol' })
  })
})

describe('list()', () => {
  test('reads a large directory in parts, and again when it changes meanwhile', async () => {
    const names = ['one', 'two', 'three', 'four']
    const encoded = encodeStrings(...names)
    let generation = 1
    peer.answer = (request) => {
      if (request.type === MESSAGE.directory) return peer.reply(request, 'E2BIG\0', MESSAGE.error)
      const offset = Number(request.payload.toString().split('\0')[1])
      if (offset === 8 && generation === 1) generation = 2
      const end = Math.min(offset + 8, encoded.length)
      const isLast = end === encoded.length
      peer.reply(
        request,
        Buffer.concat([
          encodeStrings(String(generation)),
          encoded.subarray(offset, end),
          Buffer.alloc(isLast ? 1 : 0),
        ]),
      )
    }
    expect(await xenstore.list('/big')).toEqual(names)
    expect(peer.typesSeen()).toEqual([1, 22, 22, 22, 22, 22])
  })
})

describe('transaction()', () => {
  function serveTransactions(onEnd: (attempt: number, commit: string) => string): void {
    let attempt = 0
    peer.answer = (request) => {
      if (request.type === MESSAGE.transactionStart) return peer.reply(request, `${++attempt}\0`)
      if (request.type !== MESSAGE.transactionEnd) return peer.reply(request, 'OK\0')
      const result = onEnd(attempt, request.payload.toString())
      peer.reply(request, result, result === 'OK\0' ? request.type : MESSAGE.error)
    }
  }

  test('runs again after a conflict, with a new transaction', async () => {
    serveTransactions((attempt) => (attempt < 3 ? 'EAGAIN\0' : 'OK\0'))
    let runs = 0
    const result = await xenstore.transaction(async (nodes) => {
      await nodes.write('/a', String(++runs))
      return runs
    })
    expect(result).toBe(3)
    const writes = peer.requests.filter((request) => request.type === MESSAGE.write)
    expect(writes.map((request) => request.transactionId)).toEqual([1, 2, 3])
  })

  test('gives up on an error that is no conflict', async () => {
    serveTransactions(() => 'ENOSPC\0')
    await expect(xenstore.transaction(async () => {})).rejects.toMatchObject({ errorName: 'ENOSPC' })
  })

  test('is abandoned when the change fails', async () => {
    const ends: string[] = []
    serveTransactions((_attempt, commit) => {
      ends.push(commit)
      return 'OK\0'
    })
    await expect(xenstore.transaction(() => Promise.reject(new Error('no')))).rejects.toThrow('no')
    expect(ends).toEqual(['F\0'])
  })
})

describe('watch()', () => {
  beforeEach(() => {
    peer.answer = (request) => peer.reply(request, request.type === MESSAGE.read ? 'value' : 'OK\0')
  })

  test('merges the events that come while nobody looks', async () => {
    await using watch = await xenstore.watch('/a')
    peer.event('/a', watch.token)
    peer.event('/a/b', watch.token)
    peer.event('/a/b', watch.token)
    peer.event('/a', 'not-ours')
    // Answers come in order: after this one the events are in.
    await xenstore.read('/a')
    const first = await watch[Symbol.asyncIterator]().next()
    expect(first.value).toEqual(new Set(['/a', '/a/b']))
  })

  test('holds a bounded number of paths, whatever a guest writes', async () => {
    await using watch = await xenstore.watch('/a')
    for (let index = 0; index < 2000; index++) peer.event(`/a/${index}`, watch.token)
    await xenstore.read('/a')
    const first = await watch[Symbol.asyncIterator]().next()
    expect(first.value?.size).toBeLessThanOrEqual(256)
    expect(first.value).toContain('/a')
  })

  test('ends its reader at close(), with nothing left behind', async () => {
    const watch = await xenstore.watch('/a')
    const reader = watch[Symbol.asyncIterator]().next()
    await watch.close()
    expect(await reader).toEqual({ done: true, value: undefined })
    expect(peer.typesSeen()).toEqual([MESSAGE.watch, MESSAGE.unwatch])
  })

  test('throws at its reader when the signal aborts or the connection breaks', async () => {
    const controller = new AbortController()
    const aborted = (await xenstore.watch('/a', { signal: controller.signal }))[Symbol.asyncIterator]().next()
    controller.abort(new Error('enough'))
    await expect(aborted).rejects.toThrow('enough')
    const broken = (await xenstore.watch('/a'))[Symbol.asyncIterator]().next()
    peer.hangUp()
    await expect(broken).rejects.toMatchObject({ code: 'xen.xenstore-lost' })
  })

  test('waitFor() looks at once, and again after each event', async () => {
    const values = ['1', '2', '4']
    peer.answer = (request) => {
      if (request.type === MESSAGE.watch) {
        const token = request.payload.toString().split('\0')[1] ?? ''
        peer.reply(request, 'OK\0')
        peer.event('/state', token)
        return
      }
      if (request.type !== MESSAGE.read) return peer.reply(request, 'OK\0')
      peer.reply(request, values.shift() ?? '')
      if (values.length > 0) peer.event('/state', '1')
    }
    const state = await xenstore.waitFor('/state', (value) => (value === '4' ? value : undefined))
    expect(state).toBe('4')
    expect(values).toEqual([])
  })
})
