import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { EAGAIN, EINVAL, ENETDOWN, ENOBUFS, ENODEV } from '../../sys/errno.ts'
import type { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { echoFrame, tcpFrame } from '../frame/guest-frames.fixture.ts'
import type { FrameTap } from '../guest-port.ts'
import { defaultLimits } from '../settings.ts'
import { EngineHarness, seen, type TestGuest } from './engine-harness.fixture.ts'

const GATEWAY = '10.75.0.1'

let harness: EngineHarness
let guest: TestGuest

beforeEach(() => {
  harness = new EngineHarness({ echoesPerSecond: 10_000 })
  guest = harness.addGuest(3)
})

afterEach(() => {
  harness[Symbol.dispose]()
})

function ping(own: TestGuest): Buffer {
  const frame = echoFrame(own.ipv4, GATEWAY)
  frame.set(own.mac, 16)
  return frame
}

describe('PacketEngine', () => {
  it('takes a bounded number of frames of each guest in a turn', () => {
    const other = harness.addGuest(4)
    for (let count = 0; count < 1_000; count++) guest.device.push(ping(guest))
    other.device.push(ping(other))
    harness.loop.turn(0)
    expect(guest.take()).toHaveLength(defaultLimits.framesPerTurn)
    expect(other.take()).toHaveLength(1)
    harness.turn()
    expect(guest.take()).toHaveLength(1_000 - defaultLimits.framesPerTurn)
  })

  it('loses one frame to an error of the device and goes on', () => {
    guest.device.receiveErrors.push(EINVAL)
    expect(guest.send(ping(guest))).toHaveLength(1)
    expect(guest.drops).toEqual({ 'device-overrun': 1 })
    guest.device.overruns = 7
    expect(guest.drops).toEqual({ 'device-overrun': 8 })
    expect(guest.drops).toEqual({ 'device-overrun': 8 })
  })

  it('keeps a guest whose interface is only down, and lets it go when it is gone', () => {
    guest.device.receiveErrors.push(ENETDOWN)
    guest.device.wake()
    harness.turn()
    harness.pass(1_000)
    expect(harness.lost).toEqual([])
    expect(guest.send(ping(guest))).toHaveLength(1)
    guest.device.isGoneForGood = true
    harness.pass(300)
    expect(harness.lost).toEqual(['guest-3: its interface was removed'])
    expect(guest.device.isClosed).toBe(true)
    expect(harness.engine.guests).toEqual([])
  })

  it('lets a guest go at once when its device says so, and reads none of its frames any more', () => {
    guest.device.receiveErrors.push(ENODEV)
    guest.device.push(ping(guest))
    harness.loop.turn(0)
    expect(harness.lost).toEqual(['guest-3: its interface was removed'])
    expect(guest.device.waiting).toBe(1)
    harness.engine.removeGuest('guest-3')
    expect(harness.lost).toHaveLength(1)
  })

  it('counts what a full device did not take, and waits for room', () => {
    for (const errno of [EAGAIN, ENOBUFS]) {
      guest.device.sendErrors.push(errno)
      expect(guest.send(ping(guest))).toEqual([])
      harness.pass(20)
      expect(guest.send(ping(guest))).toHaveLength(1)
    }
    expect(guest.drops).toEqual({ 'device-full': 2 })
  })

  it('survives a defect of its own: the frame is lost, counted and logged, once a second', () => {
    // A tap that throws stands for whatever could.
    const tap: FrameTap = {
      frame: () => {
        throw new Error('a defect')
      },
      end: () => undefined,
    }
    const other = harness.addGuest(4)
    harness.engine.startCapture('guest-4', (port) => {
      port.capture = tap
    })
    const frame = echoFrame(guest.ipv4, other.ipv4)
    frame.set(guest.mac, 16)
    expect(guest.send(frame, frame, frame)).toEqual([])
    expect(guest.drops).toEqual({ internal: 3 })
    expect(harness.logged).toHaveLength(1)
    expect(harness.logged[0]).toContain('a defect')
    harness.pass(1_000)
    guest.send(frame)
    expect(harness.logged).toHaveLength(2)
    expect(guest.send(ping(guest))).toHaveLength(1)
  })

  it('shows a capture every frame of its guest, both ways, and ends it with the guest', () => {
    const frames: string[] = []
    let ended = 0
    harness.engine.startCapture('guest-3', (port) => {
      port.capture = {
        frame: (toGuest, header: PinnedBuffer, headerBytes, _payload, _offset, payloadBytes) =>
          frames.push(
            `${toGuest ? 'to' : 'from'} ${headerBytes + payloadBytes} ${header.view.getUint16(22)}`,
          ),
        end: () => {
          ended++
        },
      }
    })
    const frame = ping(guest)
    guest.send(frame)
    expect(frames).toEqual([`from ${frame.length} 2048`, `to ${frame.length} 2048`])
    harness.engine.removeGuest('guest-3')
    expect(ended).toBe(1)
  })

  it('tells a guest that comes who the gateway is, and advertises itself from time to time', () => {
    const other = harness.addGuest(4)
    harness.engine.removeGuest('guest-4')
    harness.guests.delete('guest-4')
    expect(other.device.isClosed).toBe(true)
    const third = harness.addGuest(5)
    harness.pass(199_000)
    expect(third.take()).toEqual([])
    harness.pass(1_100)
    expect(third.take().map((bytes) => seen(bytes).icmp)).toEqual(['134/0'])
  })

  it('replaces a guest that comes again', () => {
    const again = harness.addGuest(3)
    expect(guest.device.isClosed).toBe(true)
    expect(again.send(ping(again))).toHaveLength(1)
    expect(harness.engine.guests).toEqual(['guest-3'])
    expect(harness.lost).toEqual([])
  })

  it('refuses what names no guest', () => {
    for (const attempt of [
      () => harness.engine.flows('nobody'),
      () => harness.engine.updateGuest({ ...guest.message, id: 'nobody' }),
      () => harness.engine.connect('nobody', 80, -1, () => undefined),
      () => harness.engine.startCapture('nobody', () => undefined),
    ])
      expect(attempt).toThrow(expect.objectContaining({ code: 'net.no-guest' }))
    harness.engine.removeGuest('nobody')
    harness.engine.answerDns('nobody', 1, false, Buffer.from('x'))
  })

  it('closes the device of a guest that it cannot take', () => {
    expect(() => harness.addGuest(7, { policy: [{ action: 'allow', range: 'nonsense' }] })).toThrow(
      'nonsense',
    )
    expect(harness.guests.get('guest-7')?.device.isClosed).toBe(true)
    expect(harness.engine.guests).toEqual(['guest-3'])
  })

  it('judges new flows by the host’s addresses as they are now', () => {
    const syn = (sourcePort: number) => {
      const ends = { source: guest.ipv4, destination: '192.0.2.1', sourcePort, destinationPort: 80 }
      const [answer] = guest.send(tcpFrame({ ...ends, flags: 2 }, { sourceMac: guest.mac }))
      return answer === undefined ? 'asked' : `answered ${seen(answer).transport[13]}`
    }
    harness.engine.setHostAddresses(['192.0.2.0/24'])
    expect(syn(4000)).toBe('answered 20')
    expect(guest.drops).toEqual({ 'closed-range': 1 })
  })
})
