import { expect, test } from 'vitest'
import { allocateFlow, MainFlow, WorkerFlow } from './ring-flow.ts'

function pair(maxBytes: number) {
  const memory = allocateFlow()
  return { main: new MainFlow(memory), worker: new WorkerFlow(memory, maxBytes) }
}

test('the worker stops reporting at the limit and is woken by the acknowledgement, once', () => {
  const { main, worker } = pair(100)
  worker.countReported(99)
  expect(worker.canReport()).toBe(true)
  worker.countReported(10)
  expect(worker.canReport()).toBe(false)
  expect(main.acknowledge(50)).toBe(true)
  expect(worker.canReport()).toBe(true)
  expect(main.acknowledge(50)).toBe(false)
})

test('counts go on beyond 2^32 bytes', () => {
  const { main, worker } = pair(100)
  for (let round = 0; round < 5; round++) {
    worker.countReported(2 ** 30)
    expect(worker.canReport()).toBe(false)
    main.acknowledge(2 ** 30)
    expect(worker.canReport()).toBe(true)
  }
  worker.setGuestTook(2 ** 32 - 5)
  expect(main.guestTook).toBe(2 ** 32 - 5)
})

test('a wish for room is granted once', () => {
  const { main, worker } = pair(100)
  expect(worker.grantRoom()).toBe(false)
  main.wantRoom(24)
  expect(worker.roomWanted).toBe(24)
  expect(worker.grantRoom()).toBe(true)
  expect(worker.roomWanted).toBe(0)
})
