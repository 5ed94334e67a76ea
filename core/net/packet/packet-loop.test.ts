import { describe, expect, it } from 'vitest'
import { EPOLLIN, EPOLLOUT } from '../../sys/epoll.ts'
import { signalEvent } from '../../sys/event-counter.ts'
import { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { closeDescriptor, receiveBytes, sendBytes } from '../../sys/socket.ts'
import { makeSocketPair } from '../../sys/socket-pair.ts'
import type { TurnTask } from './packet-context.ts'
import { PacketLoop } from './packet-loop.ts'
import { Timer } from './timer-wheel.ts'
import { WatchTable } from './watch-table.ts'

const buffer = new PinnedBuffer(64)

describe('PacketLoop', () => {
  it('tells a socket its events once, until there is something new', () => {
    using loop = new PacketLoop()
    const [near, far] = makeSocketPair()
    const events: number[] = []
    loop.watch(near, { onSocketEvents: (mask) => events.push(mask) })
    loop.turn(0)
    expect(events).toEqual([EPOLLOUT])
    loop.turn(0)
    expect(events).toEqual([EPOLLOUT])
    sendBytes(far, buffer, 0, 1)
    loop.turn(1_000)
    loop.turn(0)
    expect(events).toEqual([EPOLLOUT, EPOLLIN | EPOLLOUT])
    closeDescriptor(near)
    closeDescriptor(far)
  })

  it('never tells the events of a closed socket to the next owner of its number', () => {
    using loop = new PacketLoop()
    const [near, far] = makeSocketPair()
    const [other, otherFar] = makeSocketPair()
    const told: string[] = []
    let closed: number | undefined
    let reused: readonly [number, number] | undefined
    const replace = (own: number, name: string) => (): void => {
      told.push(name)
      if (closed !== undefined) return
      // Whichever of the two comes first closes the other, whose event waits in this turn, and takes its number again.
      const [victim, token] = own === near ? [other, otherToken] : [near, nearToken]
      closed = victim
      loop.unwatch(victim, token)
      closeDescriptor(victim)
      reused = makeSocketPair()
      expect(reused).toContain(victim)
      loop.watch(victim, { onSocketEvents: (mask) => told.push(`new ${mask}`) })
      // A token that is over does no harm.
      loop.unwatch(victim, token)
    }
    const nearToken = loop.watch(near, { onSocketEvents: replace(near, 'near') })
    const otherToken = loop.watch(other, { onSocketEvents: replace(other, 'other') })
    loop.turn(0)
    expect(told).toHaveLength(1)
    loop.turn(0)
    expect(told.slice(1)).toEqual([`new ${EPOLLOUT}`])
    for (const fd of [near, far, other, otherFar, ...(reused ?? [])].filter(unique)) closeDescriptor(fd)
  })

  it('watches a device by level, and for room only while it is full', () => {
    using loop = new PacketLoop()
    const [near, far] = makeSocketPair()
    const told: string[] = []
    const token = loop.watchDevice(near, {
      onReadable: () => told.push('readable'),
      onRoom: () => told.push('room'),
    })
    loop.turn(0)
    expect(told).toEqual([])
    sendBytes(far, buffer, 0, 1)
    loop.turn(0)
    loop.turn(0)
    expect(told).toEqual(['readable', 'readable'])
    receiveBytes(near, buffer, 0, 64)
    loop.awaitRoom(token)
    loop.turn(0)
    loop.turn(0)
    expect(told).toEqual(['readable', 'readable', 'room'])
    loop.unwatchDevice(near, token)
    sendBytes(far, buffer, 0, 1)
    loop.turn(0)
    expect(told).toHaveLength(3)
    closeDescriptor(near)
    closeDescriptor(far)
  })

  it('calls a task once at the end of its turn, and one that asks again in the next turn', () => {
    using loop = new PacketLoop()
    const told: string[] = []
    const again: TurnTask = {
      isDue: false,
      atEndOfTurn: () => {
        told.push('again')
        if (told.length < 4) loop.due(again)
      },
    }
    const once: TurnTask = { isDue: false, atEndOfTurn: () => told.push('once') }
    loop.due(once)
    loop.due(again)
    loop.due(once)
    loop.turn(10_000)
    expect(told).toEqual(['once', 'again'])
    loop.turn(10_000)
    loop.turn(10_000)
    expect(told).toEqual(['once', 'again', 'again', 'again'])
  })

  it('fires timers by its clock, and sleeps no longer than until the next', () => {
    let nowMs = 1_000
    using loop = new PacketLoop({ clock: () => nowMs })
    const fired: number[] = []
    loop.timers.start(new Timer((at) => fired.push(at)), 1_000)
    // The timer is due in 10 ms of the clock: a turn that slept its ten seconds would fail the test by time.
    loop.turn(10_000)
    nowMs = 1_020
    loop.turn(10_000)
    expect(fired).toEqual([1_020])
    expect(loop.nowMs).toBe(1_020)
  })

  it('is woken by its eventfd and stops', () => {
    using loop = new PacketLoop()
    let woken = 0
    loop.onWake = () => {
      woken++
      loop.stop()
    }
    signalEvent(loop.wakeFd)
    signalEvent(loop.wakeFd)
    loop.run()
    expect(woken).toBe(1)
  })

  it('goes on when a handler throws', () => {
    const defects: unknown[] = []
    using loop = new PacketLoop({ onDefect: (error) => defects.push(error) })
    const [near, far] = makeSocketPair()
    const told: string[] = []
    const failing = (name: string) => () => {
      told.push(name)
      throw new Error(name)
    }
    loop.watch(near, { onSocketEvents: failing('near') })
    loop.watch(far, { onSocketEvents: failing('far') })
    loop.due({ isDue: false, atEndOfTurn: failing('task') })
    loop.due({ isDue: false, atEndOfTurn: () => told.push('last') })
    loop.turn(0)
    expect(told.sort()).toEqual(['far', 'last', 'near', 'task'])
    expect(defects).toHaveLength(3)
    closeDescriptor(near)
    closeDescriptor(far)
  })

  it('refuses what cannot be watched', () => {
    using loop = new PacketLoop()
    expect(() => loop.watch(-1, { onSocketEvents: () => {} })).toThrow('Cannot watch descriptor -1: EBADF')
  })
})

describe('WatchTable', () => {
  it('gives a place away again only after the turn, under another token', () => {
    const table = new WatchTable<string>()
    const first = table.claim('first')
    table.release(first)
    const second = table.claim('second')
    table.endTurn()
    const third = table.claim('third')
    expect(table.get(first)).toBeUndefined()
    expect(table.get(second)).toBe('second')
    expect(table.get(third)).toBe('third')
    expect(new Set([first, second, third]).size).toBe(3)
    expect(table.release(first)).toBe(false)
    expect(table.get(third)).toBe('third')
  })

  it('keeps telling owners apart when generations run out and begin again', () => {
    const table = new WatchTable<number>()
    let last = -1
    for (let round = 0; round < 40_000; round++) {
      const token = table.claim(round)
      expect(token).not.toBe(last)
      expect(token).toBeGreaterThanOrEqual(0)
      expect(table.get(token)).toBe(round)
      table.release(token)
      table.endTurn()
      last = token
    }
  })
})

function unique(value: number, index: number, all: readonly number[]): boolean {
  return all.indexOf(value) === index
}
