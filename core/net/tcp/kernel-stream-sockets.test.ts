// The host's sockets against the real kernel, over loopback.
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { release } from 'node:os'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { EAGAIN, ECONNREFUSED } from '../../sys/errno.ts'
import { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { parseAddress } from '../address.ts'
import { KernelStreamSockets } from './kernel-stream-sockets.ts'
import { PeekStore } from './peek-store.ts'
import { pattern } from './segment-text.fixture.ts'

/** Lets Node's loop turn, in which the server lives, until there is an answer. */
async function answer(ask: () => number): Promise<number> {
  for (;;) {
    const said = ask()
    if (said !== -EAGAIN) return said
    await new Promise(setImmediate)
  }
}

describe.each([
  [4, '127.0.0.1'],
  [6, '::1'],
] as const)('host sockets over IPv%i', (family, host) => {
  const sockets = new KernelStreamSockets()
  const buffer = new PinnedBuffer(65_536)
  let server: Server
  let client: Socket
  let fd: number

  beforeEach(async () => {
    server = createServer({ allowHalfOpen: true }).listen(0, host)
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    fd = sockets.connect(...parseAddress(host), port)
    expect(fd).toBeGreaterThan(0)
    ;[client] = (await once(server, 'connection')) as [Socket]
    expect(sockets.takeError(fd)).toBe(0)
  })

  afterEach(() => {
    client.destroy()
    server.close()
  })

  it('carries bytes both ways and the ends of both streams', async () => {
    buffer.bytes.set(pattern(1_000))
    expect(await answer(() => sockets.send(fd, buffer, 0, 1_000))).toBe(1_000)
    const [bytes] = (await once(client, 'data')) as [Buffer]
    expect(bytes).toEqual(pattern(1_000))
    sockets.shutdownWrite(fd)
    await once(client, 'end')
    client.end(pattern(300))
    expect(await answer(() => sockets.receive(fd, buffer, 0, 65_536))).toBe(300)
    expect(Buffer.from(buffer.bytes.subarray(0, 300))).toEqual(pattern(300))
    expect(await answer(() => sockets.receive(fd, buffer, 0, 65_536))).toBe(0)
    sockets.close(fd)
  })

  it('lets the server see a reset', async () => {
    const failed = once(client, 'error')
    sockets.reset(fd)
    const [error] = (await failed) as [NodeJS.ErrnoException]
    expect(error.code).toBe('ECONNRESET')
  })

  it('says why there is no connection', async () => {
    sockets.close(fd)
    const { port } = server.address() as AddressInfo
    client.destroy()
    server.close()
    await once(server, 'close')
    const refused = sockets.connect(...parseAddress(host), port)
    expect(sockets.takeError(refused)).toBe(ECONNREFUSED)
    sockets.close(refused)
  })

  it('keeps bytes in the kernel until they are acknowledged, where the kernel can', async () => {
    if (!sockets.canPeek(family === 6)) {
      // Such sockets are never given to this store; a kernel that could must not have been misjudged.
      const [major = 0, minor = 0] = release().split('.').map(Number)
      expect(major * 100 + minor).toBeLessThan(family === 6 ? 611 : 609)
      return
    }
    const store = new PeekStore(sockets)
    const start = -500
    const total = 3_000
    store.begin(start)
    client.end(pattern(total))
    const seen = () => Buffer.from(store.buffer.bytes.subarray(0, store.length))
    let end = 0
    while (end < total) {
      const count = await answer(() => store.fill(fd, 1_000))
      expect(seen()).toEqual(pattern(count, end))
      end += count
    }
    expect(store.end).toBe(start + total)
    expect(await answer(() => store.fill(fd, 1_000))).toBe(0)
    // A thousand are acknowledged; the rest was lost and is looked at again, from its middle and from its start.
    store.release(start + 1_000)
    expect(store.find(start + 999)).toBe(false)
    expect(store.find(start + 1_700)).toBe(true)
    expect(seen()).toEqual(pattern(1_300, 1_700))
    expect(store.find(start + 1_000)).toBe(true)
    expect(seen()).toEqual(pattern(2_000, 1_000))
    expect(store.find(start + total)).toBe(false)
    // The acknowledgement of the FIN counts one more.
    store.release(start + total + 1)
    expect(store.find(start + 2_999)).toBe(false)
    expect(sockets.receive(fd, buffer, 0, 10)).toBe(0)
    sockets.close(fd)
  })
})
