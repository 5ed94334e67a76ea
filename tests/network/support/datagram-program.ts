// The two ends of UDP tests, each in a namespace of its own.
//   datagram-program.ts echo ADDRESS PORT               sends every datagram back; says `listening`, then who each client is
//   datagram-program.ts ask ADDRESS PORT BYTES COUNT    sends so many of that size, one after the other, and says as JSON how
//                                                       many came back whole: {answered, ports, error}
//   datagram-program.ts silent ADDRESS PORT             sends one and says the error it gets: {error} (null: none in a second)
import { createSocket, type Socket } from 'node:dgram'
import { isIPv6 } from 'node:net'

const [command, address = '', port = '', bytes = '0', count = '1'] = process.argv.slice(2)
const socketOf = (): Socket => createSocket(isIPv6(address) ? 'udp6' : 'udp4')

if (command === 'echo') echo()
else process.stdout.write(`${JSON.stringify(command === 'ask' ? await ask() : await silent())}\n`)

function echo(): void {
  const socket = socketOf()
  const seen = new Set<string>()
  socket.on('message', (message, from) => {
    const client = `${from.address} ${from.port}`
    if (!seen.has(client)) process.stdout.write(`${client}\n`)
    seen.add(client)
    socket.send(message, from.port, from.address)
  })
  socket.bind(Number(port), address, () => process.stdout.write('listening\n'))
}

async function ask(): Promise<unknown> {
  const socket = socketOf()
  const { promise: connected, resolve } = Promise.withResolvers<void>()
  socket.connect(Number(port), address, resolve)
  await connected
  socket.setRecvBufferSize(1 << 20)
  const content = Buffer.from(Array.from({ length: Number(bytes) }, (_, index) => (index * 13) & 255))
  let answered = 0
  let error: string | undefined
  for (let round = 0; round < Number(count) && error === undefined; round++) {
    const { promise, resolve: heard } = Promise.withResolvers<void>()
    const timeout = setTimeout(heard, 3_000)
    socket.once('message', (message) => {
      if (message.equals(content)) answered++
      heard()
    })
    socket.once('error', (failure) => {
      error = (failure as NodeJS.ErrnoException).code
      heard()
    })
    socket.send(content)
    await promise
    clearTimeout(timeout)
    socket.removeAllListeners()
  }
  socket.close()
  return { answered, error: error ?? null }
}

async function silent(): Promise<unknown> {
  const socket = socketOf()
  const { promise, resolve } = Promise.withResolvers<string | null>()
  socket.on('error', (failure) => resolve((failure as NodeJS.ErrnoException).code ?? 'unknown'))
  const timeout = setTimeout(() => resolve(null), 1_000)
  socket.connect(Number(port), address, () => {
    socket.send(Buffer.alloc(Number(bytes)))
  })
  const error = await promise
  clearTimeout(timeout)
  socket.close()
  return { error }
}
