// Many launches in a row: nothing is left in the host, and the core host does not grow. `npm run soak`; the number of
// launches is SOAK_LAUNCHES, 100 by default.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type CoreClient, connectCore } from '../../core/client/core-client.ts'
import { image, LabHost } from '../cli/lab-host.ts'

const launches = Number(process.env.SOAK_LAUNCHES ?? 100)
const warmUpLaunches = 10

let host: LabHost
let client: CoreClient
beforeAll(async () => {
  host = await LabHost.start()
  client = await connectCore({ kind: 'socket', socketPath: host.lab.socketPath, label: 'the lab' })
})
afterAll(async () => {
  client?.dispose()
  await host?.[Symbol.asyncDispose]()
})

interface Size {
  readonly files: number
  readonly threads: number
  readonly mappings: number
  readonly residentKib: number
}

async function sizeOfCoreHost(): Promise<Size> {
  const { stdout } = await host.lab.exec(
    `pid=$(ps | awk '/core-host.js/ && !/awk/ { print $1; exit }')
     ls /proc/$pid/fd | wc -l; ls /proc/$pid/task | wc -l; wc -l < /proc/$pid/maps
     awk '/VmRSS/ { print $2 }' /proc/$pid/status`,
  )
  const [files = 0, threads = 0, mappings = 0, residentKib = 0] = stdout.trim().split('\n').map(Number)
  return { files, threads, mappings, residentKib }
}

async function launchOnce(number: number): Promise<void> {
  const { id } = await client.request('guests.create', {
    image,
    memoryMiB: 128,
    autoRemove: true,
    process: { command: ['sh', '-c', `echo ${number}; exit ${number % 100}`] },
  })
  const { ticket } = await client.request('streams.open', { kind: 'stdio', guest: id, lossless: true })
  let text = ''
  const stream = await client.openStream(ticket, {
    data: (output, bytes, offset) => {
      text += Buffer.from(bytes).toString()
      stream.acknowledge(output, offset + bytes.length)
    },
  })
  await client.request('guests.start', { guest: id })
  expect(await stream.finished).toMatchObject({ reason: 'exited', code: number % 100 })
  expect(text).toBe(`${number}\n`)
}

describe(`${launches} launches in a row`, () => {
  it('leave nothing behind and let the core host be as it was', { timeout: 4 * 3600_000 }, async () => {
    for (let number = 0; number < warmUpLaunches; number++) await launchOnce(number)
    const before = await sizeOfCoreHost()
    for (let number = 0; number < launches; number++) await launchOnce(number)
    const after = await sizeOfCoreHost()
    process.stdout.write(`before ${JSON.stringify(before)}\nafter  ${JSON.stringify(after)}\n`)
    expect(await host.leftBehind()).toEqual([])
    expect(after.files).toBeLessThanOrEqual(before.files + 2)
    expect(after.threads).toBeLessThanOrEqual(before.threads)
    expect(after.mappings).toBeLessThanOrEqual(before.mappings + 30)
    // A heap settles; what leaks with each launch does not: 64 KiB of growth for each would show.
    expect(after.residentKib - before.residentKib).toBeLessThan(8192 + 64 * launches)
  })
})
