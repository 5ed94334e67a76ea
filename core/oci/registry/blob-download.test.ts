import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { digestOf } from '../digest.ts'
import { Slots } from '../segments/slots.ts'
import { BlobStore } from '../store/blob-store.ts'
import { partPath } from '../store/part-files.ts'
import { TransientFailure } from './backoff.ts'
import { downloadBlob, EXTRA_CONNECTIONS } from './blob-download.ts'
import { HttpClient } from './http-client.ts'

const MIB = 2 ** 20
const big = randomBytes(48 * MIB + 12_345)
const blob = { digest: digestOf(big), size: big.length }

let folder: string
let blobs: BlobStore
let server: Server
let client: HttpClient
/** The Range header of each request, `whole` without one. */
let asked: string[]
let sentBytes: number
/** How a test answers; the default answers rightly. */
let answer: (request: IncomingMessage, response: ServerResponse) => unknown

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'bulkhead-download-'))
  blobs = await BlobStore.open(folder)
  client = new HttpClient({})
  asked = []
  sentBytes = 0
  answer = (request, response) => send(request, response)
  server = createServer((request, response) => {
    asked.push(request.headers.range ?? 'whole')
    answer(request, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
})

afterEach(async () => {
  await client[Symbol.asyncDispose]()
  server.closeAllConnections()
  server.close()
  await rm(folder, { recursive: true })
})

function rangeOf(request: IncomingMessage): { start: number; end: number } | undefined {
  const [, start, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? []
  if (start === undefined) return undefined
  return { start: Number(start), end: last === '' ? big.length : Number(last) + 1 }
}

/** Sends what was asked for, slowly until somebody asks for more; `cutAfter` so many bytes the connection breaks. */
function send(
  request: IncomingMessage,
  response: ServerResponse,
  { cutAfter = big.length, ranges = true, stayingSlow = false } = {},
): void {
  const range = ranges ? rangeOf(request) : undefined
  const { start, end } = range ?? { start: 0, end: big.length }
  const partial = { 'content-range': `bytes ${start}-${end - 1}/${big.length}` }
  response.writeHead(range === undefined ? 200 : 206, {
    'content-length': end - start,
    ...(range === undefined ? {} : partial),
  })
  const stop = Math.min(end, start + cutAfter)
  let position = start
  const timer = setInterval(() => {
    const burstBytes = stayingSlow || asked.length === 1 ? 64 * 1024 : MIB
    const burst = big.subarray(position, Math.min(position + burstBytes, stop))
    response.write(burst)
    sentBytes += burst.length
    position += burstBytes
    if (position < stop) return
    clearInterval(timer)
    if (stop === end) response.end()
    else response.destroy()
  }, 2)
  response.on('close', () => clearInterval(timer))
}

interface Fetching {
  readonly signal?: AbortSignal
  readonly connections?: number
  readonly onProgress?: (bytes: number) => void
}

function fetchBlob({ signal, connections = EXTRA_CONNECTIONS, onProgress }: Fetching = {}) {
  const { port } = server.address() as { port: number }
  const url = new URL(`http://127.0.0.1:${port}/blob`)
  return blobs.ingest(
    'layer',
    blob,
    (writer, flight) =>
      downloadBlob(writer, {
        blob,
        request: (range, requestSignal) => {
          const headers = range === undefined ? {} : { range: `bytes=${range.start}-${range.end ?? ''}` }
          return client.send(url, { method: 'GET', headers, signal: requestSignal })
        },
        host: 'the server',
        action: 'pull web:1',
        policy: { attempts: 3, baseDelayMs: 1, maxDelayMs: 100 },
        extraConnections: new Slots(connections),
        signal: flight,
      }),
    { signal, onProgress },
  )
}

const leftovers = () => readdir(path.join(folder, 'ingest'))
const coded = (code: string) => expect.objectContaining({ code })

async function expectWhole(): Promise<void> {
  expect((await readFile(blobs.pathOf(blob.digest))).equals(big)).toBe(true)
  expect(await leftovers()).toEqual([])
}

describe('a server that limits each connection', () => {
  test('is asked for ranges over several, and the blob grows in order', async () => {
    answer = (request, response) => send(request, response, { stayingSlow: true })
    const follow = Promise.withResolvers<Buffer[]>()
    let isFollowed = false
    await fetchBlob({
      onProgress: () => {
        if (isFollowed) return
        isFollowed = true
        follow.resolve(Array.fromAsync(blobs.follow(blob.digest, 'layer')))
      },
    })
    await expectWhole()
    expect(Buffer.concat(await follow.promise).equals(big)).toBe(true)
    expect(asked[0]).toBe('whole')
    expect(asked.length).toBeGreaterThan(3)
    const helped = asked
      .slice(1)
      .map((range) => /^bytes=(\d+)-(\d*)$/.exec(range)?.slice(1).map(Number) ?? [])
    for (const [start = 0, last = 0] of helped) {
      expect(start % (8 * MIB)).toBe(0)
      if (last > 0) expect(last + 1 - start).toBeLessThanOrEqual(8 * MIB)
    }
  })

  test('but knows no ranges, is left to send its one stream', async () => {
    answer = (request, response) => send(request, response, { ranges: false })
    await fetchBlob()
    await expectWhole()
    expect(asked).toHaveLength(2)
  })

  test.each([
    [
      'sends another part',
      (response: ServerResponse) => response.writeHead(206, { 'content-range': 'bytes 5-9/10' }).end('wrong'),
    ],
    ['says nothing of the part', (response: ServerResponse) => response.writeHead(206).end('wrong')],
    [
      'sends a part of another blob',
      (response: ServerResponse, start: number) =>
        response.writeHead(206, { 'content-range': `bytes ${start}-${start + 4}/10` }).end('wrong'),
    ],
    ['refuses', (response: ServerResponse) => response.writeHead(416).end()],
    ['hangs up', (response: ServerResponse) => response.destroy()],
  ])('but %s when asked for ranges, is left to send its one stream', async (_, misbehave) => {
    answer = (request, response) => {
      const range = rangeOf(request)
      if (range === undefined) send(request, response)
      else misbehave(response, range.start)
    }
    await fetchBlob()
    await expectWhole()
    expect(asked).toHaveLength(2)
  })

  test('and breaks connections, is asked for what is missing only', async () => {
    answer = (request, response) =>
      send(request, response, {
        cutAfter: rangeOf(request) === undefined ? 20 * MIB : 3 * MIB,
        stayingSlow: true,
      })
    await fetchBlob()
    await expectWhole()
    expect(sentBytes).toBeLessThan(big.length + 16 * MIB)
  })

  test('has its pieces kept when the download is given up, and the next goes on with them', async () => {
    answer = (request, response) => send(request, response, { stayingSlow: true })
    const giveUp = new AbortController()
    let keptBytes = 0
    const onProgress = (bytes: number) => {
      if (bytes > 24 * MIB) giveUp.abort()
    }
    await expect(fetchBlob({ signal: giveUp.signal, onProgress })).rejects.toThrow(coded('oci.cancelled'))
    blobs = await BlobStore.open(folder)
    keptBytes = await blobs.partBytes(blob.digest)
    expect(keptBytes).toBeGreaterThan(24 * MIB)
    expect((await leftovers()).length).toBeGreaterThan(1)
    asked = []
    let firstBytes = 0
    await fetchBlob({ onProgress: (bytes) => (firstBytes ||= bytes) })
    await expectWhole()
    expect(firstBytes).toBeGreaterThanOrEqual(Math.min(MIB, keptBytes))
    expect(asked).not.toContain('whole')
  })
})

test('with little to come, a server is asked once, however slow it is', async () => {
  answer = (request, response) => send(request, response, { stayingSlow: true })
  await writeFile(partPath(path.join(folder, 'ingest'), blob.digest), big.subarray(0, 40 * MIB))
  await fetchBlob()
  await expectWhole()
  expect(asked).toEqual([`bytes=${40 * MIB}-`])
})

test('a server that forgot its ranges between two tries sends everything again', async () => {
  let requests = 0
  answer = (request, response) => {
    requests += 1
    if (requests === 1) send(request, response, { cutAfter: 900_000 })
    else response.end(big)
  }
  await fetchBlob()
  await expectWhole()
  expect(asked).toEqual(['whole', expect.stringMatching(/^bytes=\d{3,}-$/)])
})

test('more bytes than announced end the download', async () => {
  answer = (_, response) => response.end(Buffer.concat([big, Buffer.from('more')]))
  await expect(fetchBlob()).rejects.toThrow(coded('oci.size-mismatch'))
  expect(await leftovers()).toEqual([])
})

test('fewer bytes than announced, each time, end the download after some tries', async () => {
  answer = (_, response) => response.end(big.subarray(0, 1000))
  await expect(fetchBlob()).rejects.toThrow(coded('oci.size-mismatch'))
  expect(asked).toHaveLength(3)
})

test('what cannot be asked for fails as it is', async () => {
  const failing = blobs.ingest('layer', blob, (writer, signal) =>
    downloadBlob(writer, {
      blob,
      request: () =>
        Promise.reject(
          new TransientFailure(Object.assign(new Error('gone'), { code: 'oci.offline' }) as never),
        ),
      host: 'the server',
      action: 'pull web:1',
      policy: { attempts: 2, baseDelayMs: 1, maxDelayMs: 100 },
      extraConnections: new Slots(1),
      signal,
    }),
  )
  await expect(failing).rejects.toThrow(coded('oci.offline'))
})
