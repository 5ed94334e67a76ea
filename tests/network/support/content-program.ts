// Content that never repeats, made as it is sent and summed as it comes, so that a gigabyte needs neither a file nor memory.
//   content-program.ts serve ADDRESS PORT     GET /BYTES sends them, PUT takes what comes; each transfer that is over is one
//                                             line of JSON: {method, client, bytes, sha256}; a PUT is answered with it too
//   content-program.ts generate BYTES         writes them to stdout, their SHA-256 to stderr
import { createCipheriv, createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Writable } from 'node:stream'

const CHUNK_BYTES = 256 * 1024
const zeros = Buffer.alloc(CHUNK_BYTES)

const [command, first = '', second = ''] = process.argv.slice(2)
if (command === 'serve') serve(first, Number(second))
else process.stderr.write(await generate(Number(first), process.stdout))

function serve(address: string, port: number): void {
  const server = createServer((request, response) => {
    // A client that goes away in the middle is the client's affair; what it missed shows in its own sum.
    const transfer = request.method === 'PUT' ? take(request, response) : give(request, response)
    transfer.catch((error: unknown) => process.stderr.write(`${error}\n`))
  })
  server.listen(port, address, () => process.stdout.write('listening\n'))
}

async function give(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const bytes = Number(request.url?.slice(1))
  response.writeHead(200, { 'content-length': bytes })
  const sha256 = await generate(bytes, response)
  response.end()
  await once(response, 'close')
  tell(request, bytes, sha256)
}

async function take(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    hash.update(chunk)
    bytes += chunk.length
  }
  response.end(tell(request, bytes, hash.digest('hex')))
}

function tell(request: IncomingMessage, bytes: number, sha256: string): string {
  const { method, socket } = request
  const line = JSON.stringify({ method, client: socket.remoteAddress, bytes, sha256 })
  process.stdout.write(`${line}\n`)
  return line
}

/** Key stream of AES in counter mode. Returns its SHA-256. */
async function generate(bytes: number, to: Writable): Promise<string> {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, 7), Buffer.alloc(16))
  const hash = createHash('sha256')
  for (let left = bytes; left > 0; left -= CHUNK_BYTES) {
    const chunk = cipher.update(zeros.subarray(0, Math.min(left, CHUNK_BYTES)))
    hash.update(chunk)
    if (!to.write(chunk)) await once(to, 'drain')
  }
  return hash.digest('hex')
}
