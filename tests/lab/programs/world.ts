// Runs in dom0, in a namespace that stands for the world outside: an HTTP server that counts, hashes and says who asked,
// and a name server. Its first line on standard output says that both listen.
import { createHash } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTcpServer } from 'node:net'

const HTTP_PORT = 80
const DNS_PORT = 53
const ADDRESS_IPV4 = [192, 0, 2, 1]
const TYPE_A = 1
const HEADER_BYTES = 12

/** `length` bytes that are the same for everybody who asks. */
function pattern(length: number): Buffer {
  const bytes = Buffer.alloc(length)
  for (let at = 0; at < length; at++) bytes[at] = (at * 31 + (at >> 8) * 7 + (at >> 16)) & 0xff
  return bytes
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [, verb = '', number = '0'] = (request.url ?? '').split('/')
  if (request.method === 'POST') {
    const hash = createHash('sha256')
    for await (const chunk of request) hash.update(chunk)
    return void response.end(`${hash.digest('hex')}\n`)
  }
  if (verb === 'bytes') return void response.end(pattern(Number(number)))
  if (verb === 'hash') return void response.end(`${sha256(pattern(Number(number)))}\n`)
  if (verb === 'endless') {
    const piece = pattern(65_536)
    const more = () => {
      while (response.write(piece));
    }
    response.on('drain', more)
    return more()
  }
  response.end(`${request.socket.remoteAddress}\n`)
}

/** One A record for every name; no record of other types (RFC 1035 §4.1). */
function answerName(query: Buffer): Buffer {
  let at = HEADER_BYTES
  while ((query[at] ?? 0) !== 0) at += (query[at] ?? 0) + 1
  const question = query.subarray(HEADER_BYTES, at + 5)
  const isA = query.readUInt16BE(at + 1) === TYPE_A
  const header = Buffer.from(query.subarray(0, HEADER_BYTES))
  header.writeUInt16BE(0x8180, 2)
  header.writeUInt16BE(isA ? 1 : 0, 6)
  header.writeUInt32BE(0, 8)
  const record = Buffer.from([0xc0, HEADER_BYTES, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...ADDRESS_IPV4])
  return Buffer.concat([header, question, ...(isA ? [record] : [])])
}

const http = createServer((request, response) => {
  answer(request, response).catch(() => response.destroy())
})
const udp = createSocket('udp4')
udp.on('message', (query, { port, address }) => udp.send(answerName(query), port, address))
const tcp = createTcpServer((connection) => {
  connection.on('error', () => {})
  connection.on('data', (bytes) => {
    const reply = answerName(bytes.subarray(2))
    const length = Buffer.alloc(2)
    length.writeUInt16BE(reply.length, 0)
    connection.write(Buffer.concat([length, reply]))
  })
})
await Promise.all([
  new Promise<void>((resolve) => http.listen(HTTP_PORT, '::', resolve)),
  new Promise<void>((resolve) => udp.bind(DNS_PORT, '0.0.0.0', resolve)),
  new Promise<void>((resolve) => tcp.listen(DNS_PORT, '0.0.0.0', resolve)),
])
process.stdout.write('ready\n')
