// Small talk through a published port while the same guest is busy: bulk transfers over its vif fill the guest's budget, and
// end in the middle of it. A question that is not answered within the test's time stands still for good.
import { once } from 'node:events'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Guest } from './support/guest.ts'
import { HOST, NetworkLab, WORLD } from './support/network-lab.ts'
import { connectIn, listenIn } from './support/sockets.ts'
import { TestEngine } from './support/test-engine.ts'

const QUESTION = Buffer.alloc(288, 'q')
const GUEST_PORT = 90
const HOST_PORT = 9_500
const FIRST_BULK_PORT = 5_300
let lab: NetworkLab
let guest: Guest

beforeAll(async () => {
  lab = await NetworkLab.create()
  const engine = await TestEngine.start(lab)
  guest = await engine.addGuest({ device: 'packet' })
  const port = { guest: guest.message.id, protocol: 'tcp', bind: HOST.ipv4, guestPort: GUEST_PORT } as const
  await engine.publish({ ...port, hostPort: HOST_PORT })
})
afterAll(() => lab[Symbol.asyncDispose]())

function connect() {
  return connectIn(lab.world, { address: HOST.ipv4, port: HOST_PORT })
}

/** Asks over a connection and waits for all of the answer, so many times. */
async function ask(socket: ReturnType<typeof connect>, times: number): Promise<void> {
  for (let count = 0; count < times; count++) {
    let missing = QUESTION.length
    socket.write(QUESTION)
    while (missing > 0) missing -= (await once(socket, 'data'))[0].length
    expect(missing).toBe(0)
  }
}

test.each([
  ['to it', ['-R']],
  ['from it', []],
  ['both ways', ['--bidir']],
])(
  'questions are answered while and after bulk transfers %s are killed',
  async (direction, options) => {
    await using _ = await listenIn(guest.namespace, { address: '0.0.0.0', port: GUEST_PORT }, (socket) =>
      socket.pipe(socket),
    )
    const lasting = connect()
    for (let round = 0; round < 8; round++) {
      const bulkPort = String(FIRST_BULK_PORT + direction.length * 10 + round)
      await using server = lab.world.start('iperf3', '--server', '--forceflush', '--port', bulkPort)
      await server.lineWith('Server listening')
      await using bulk = guest.namespace.start(
        ...['iperf3', '--client', WORLD.ipv4, '--port', bulkPort, '--forceflush', '--interval', '0.1'],
        ...['--time', '60', '--parallel', '4', ...options],
      )
      await bulk.lineWith('[SUM]')
      const clients = Array.from({ length: 8 }, connect)
      await Promise.all([ask(lasting, 20), ...clients.map((client) => ask(client, 20))])
      // With a question on its way in each of them.
      const last = Promise.all([ask(lasting, 3), ...clients.map((client) => ask(client, 3))])
      bulk.signal('SIGKILL')
      await last
      await ask(lasting, 3)
      for (const client of clients) client.destroy()
    }
    lasting.destroy()
  },
  60_000,
)
