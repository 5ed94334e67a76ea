// A host that breaks the protocol: the channel is closed with a reason, the program runs on.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildTools, makeTestImage, type TestImage } from './build.ts'
import { long, words, writeFrame } from './frames.ts'
import { Machine } from './machine.ts'

let image: TestImage

beforeAll(() => {
  buildTools()
  image = makeTestImage()
})

afterAll(() => image[Symbol.dispose]())

const data = (offset: number, length: number, stream = 1) =>
  writeFrame(2, stream, Buffer.concat([long(offset), Buffer.alloc(length)]))

function patched(frame: Buffer, patch: (frame: Buffer) => void): Buffer {
  patch(frame)
  return frame
}

const frames: [string, Buffer, string][] = [
  [
    'a length beyond the limit',
    patched(data(0, 8), (frame) => frame.writeUInt32LE(16385, 0)),
    'longer than 16384',
  ],
  [
    'a length beyond the ring',
    patched(data(0, 8), (frame) => frame.writeUInt32LE(0xfffffff0, 0)),
    'longer than',
  ],
  ['half a frame', data(0, 80).subarray(0, 40), 'half a frame'],
  ['an unknown type', writeFrame(99, 0, Buffer.alloc(8)), 'unknown type'],
  ['a type that only the guest may send', writeFrame(19, 0, Buffer.alloc(16)), 'unknown type'],
  ['flags', patched(data(0, 8), (frame) => frame.writeUInt16LE(1, 6)), 'flags'],
  ['another container', patched(data(0, 8), (frame) => frame.writeUInt32LE(1, 12)), 'container'],
  ['data for a stream that is not open', data(0, 8, 7), 'not open'],
  ['data at a wrong offset', data(5, 8), 'wrong offset'],
  ['data without its offset', writeFrame(2, 1, Buffer.alloc(4)), 'without bytes'],
  ['an end at a wrong offset', writeFrame(4, 1, long(9)), 'wrong offset'],
  ['an end of an output', writeFrame(4, 2, long(0)), 'not open'],
  ['credit for stdin', writeFrame(3, 1, long(99)), 'not open'],
  ['credit of the wrong size', writeFrame(3, 2, words(1)), 'wrong size'],
  ['a signal that does not exist', writeFrame(33, 0, words(65, 0)), 'does not exist'],
  ['a signal to nobody', writeFrame(33, 0, words(9, 2)), 'recipient'],
  ['a resize with a stream', writeFrame(32, 1, Buffer.alloc(8)), 'cannot have it'],
  ['a hello of another version', writeFrame(1, 0, words(2, 1, 0, 0)), 'another version'],
  ['a hello that counts streams it has not', writeFrame(1, 0, words(1, 1, 0, 3)), 'wrong size'],
  ['a shutdown of an unknown kind', writeFrame(34, 0, words(1, 0)), 'unknown kind'],
]

/** Boots a program that waits for a file, and breaks the protocol. Returns when the guest has closed the channel. */
async function breakProtocol(act: (machine: Machine) => unknown): Promise<Machine> {
  const script = 'trap "echo after; exit 0" TERM; echo before; while :; do sleep 0.01; done'
  const process = { argv: ['sh', '-c', script], stdin: true }
  const machine = new Machine({ device: image.device, process, binary: 'sanitized' })
  await machine.until(() => machine.text(2) === 'before\n')
  await act(machine)
  await machine.until(() => machine.log.includes('control channel closed'))
  return machine
}

/** The program still lives: it answers to the hypervisor's wish, on the console, and the machine powers off. */
async function expectToRunOn(machine: Machine): Promise<void> {
  // It says why before it says so in the page.
  await machine.until(() => machine.ring.controlPage.guestLive === 0, 'guest_live to be cleared')
  process.kill(machine.pid, 'SIGTERM')
  await machine.closed()
  expect(machine.console).toBe('after\n')
  expect(machine.reports).toContain('power-off')
}

describe('a protocol error', () => {
  it.each(frames)('%s closes the channel', async (_, frame, reason) => {
    await using machine = await breakProtocol((host) => host.ring.put(frame))
    expect(machine.log).toContain(reason)
    await expectToRunOn(machine)
  })

  it('bytes beyond the credit close the channel', async () => {
    await using machine = await breakProtocol(async (host) => {
      const isClosed = () => host.log.includes('closed')
      for (let offset = 0; !isClosed(); offset += 16000)
        await host.until(() => isClosed() || host.ring.put(data(offset, 16000)))
    })
    expect(machine.log).toContain('beyond the credit')
    await expectToRunOn(machine)
  })

  it('an impossible index of either ring closes the channel', async () => {
    await using ours = await breakProtocol((host) => host.ring.moveProd(65536 + 8))
    expect(ours.log).toContain('from it is impossible')
    await expectToRunOn(ours)
    await using theirs = await breakProtocol((host) => {
      host.reading = false
      host.ring.breakCons()
      host.send('hello', 0, words(1, 5, 0, 0))
    })
    expect(theirs.log).toContain('to it is impossible')
    await expectToRunOn(theirs)
  })
})
