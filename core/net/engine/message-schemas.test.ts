import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { DescriptorChannel } from '../../sys/descriptor-channel.ts'
import { FileDescriptor } from '../../sys/file-descriptor.ts'
import { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { receiveBytes } from '../../sys/socket.ts'
import { makeSocketPair } from '../../sys/socket-pair.ts'
import { defaultSettings } from '../settings.ts'
import { readFlows, readFromEngine, readStats, readToEngine, writeMessage } from './message-schemas.ts'

interface Example {
  readonly name: string
  readonly message: object
  readonly hex?: string
}

const examples: { toEngine: Example[]; fromEngine: Example[] } = JSON.parse(
  readFileSync(new URL('../../../docs/contracts/net.examples.json', import.meta.url), 'utf8'),
)
const bytesOf = (message: object) => Buffer.from(JSON.stringify(message))

describe("the contract's examples", () => {
  it.each(examples.toEngine)('the engine reads $name', ({ message }) => {
    const read = readToEngine(bytesOf(message))
    expect(read).toEqual(message)
    expect(JSON.parse(writeMessage(read).toString())).toEqual(message)
  })

  it.each(examples.fromEngine)('the core host reads $name', ({ message }) => {
    const read = readFromEngine(bytesOf(message))
    expect(read).toEqual(message)
    expect(JSON.parse(writeMessage(read).toString())).toEqual(message)
  })

  const exact = [
    ...examples.toEngine.map((example) => ({ ...example, read: readToEngine })),
    ...examples.fromEngine.map((example) => ({ ...example, read: readFromEngine })),
  ].filter(({ hex }) => hex !== undefined)

  it.each(exact)('$name looks like this on the wire', ({ message, hex, read }) => {
    const [one, other] = makeSocketPair()
    using receiver = new FileDescriptor(other)
    using channel = new DescriptorChannel(new FileDescriptor(one), {
      message: () => undefined,
      closed: () => undefined,
    })
    channel.send(writeMessage(read(bytesOf(message))))
    const buffer = new PinnedBuffer(4096)
    const count = receiveBytes(receiver.fd, buffer, 0, buffer.sizeBytes)
    expect(Buffer.from(buffer.bytes.subarray(0, count)).toString('hex')).toBe(hex?.replaceAll(' ', ''))
  })

  it('has the settings that are the defaults', () => {
    expect(examples.toEngine[0]?.message).toMatchObject({ settings: defaultSettings })
  })
})

describe('messages', () => {
  it.each([
    ['no object', 7],
    ['a guest without an address', { ...examples.toEngine[1]?.message, ipv4: '' }],
    ['a MAC in capitals', { ...examples.toEngine[1]?.message, mac: '00:16:3E:00:00:01' }],
    ['a forward of port 0', { ...examples.toEngine[2]?.message, hostPort: 0 }],
    ['a field that nobody knows', { type: 'synced', force: true }],
    ['a call without a number', { type: 'call', call: 0, method: 'stats' }],
  ])('with %s are refused by the engine', (_name, message) => {
    expect(() => readToEngine(Buffer.from(JSON.stringify(message)))).toThrow(
      /^Cannot read a message of the core host/,
    )
  })

  it.each([
    ['an unknown kind', { type: 'run', command: 'sh' }],
    ['a log of megabytes', { type: 'log', message: 'x'.repeat(5000) }],
    ['a time that is none', { ...examples.fromEngine[0]?.message, startedAt: 'now' }],
  ])('with %s are refused by the core host', (_name, message) => {
    expect(() => readFromEngine(bytesOf(message))).toThrow(/^Cannot read a message of the engine/)
  })

  it('are refused where they are not JSON, or not UTF-8', () => {
    expect(() => readFromEngine(Buffer.from('{'))).toThrow(/it is not JSON/)
    expect(() => readFromEngine(Buffer.from([0x22, 0xff, 0x22]))).toThrow(/it is not JSON/)
  })

  it('whose results are something else are refused', () => {
    expect(() => readStats({ guests: [] })).toThrow(/message of the engine: residentBytes/)
    expect(() => readFlows([{ guest: 'x' }])).toThrow(/message of the engine: 0.protocol/)
    expect(() => readFlows('many')).toThrow(/message of the engine/)
  })
})
