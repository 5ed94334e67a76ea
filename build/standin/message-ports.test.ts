// MessagePortMain as Electron's documentation describes it (docs/api/message-port-main.md).
import { expect, it } from 'vitest'
import { MessageChannelMain, MessagePortMain } from './message-ports.ts'

const turn = () => new Promise((resolve) => setImmediate(resolve))

it('keeps messages until start()', async () => {
  const { port1, port2 } = new MessageChannelMain()
  const got: unknown[] = []
  port1.postMessage('early')
  port2.on('message', ({ data }) => got.push(data))
  await turn()
  expect(got).toEqual([])
  port2.start()
  port1.postMessage('late')
  await turn()
  expect(got).toEqual(['early', 'late'])
})

it('clones what is posted', async () => {
  const { port1, port2 } = new MessageChannelMain()
  const got: unknown[] = []
  port2.on('message', ({ data }) => got.push(data))
  port2.start()
  const message = { value: 1 }
  port1.postMessage(message)
  message.value = 2
  await turn()
  expect(got).toEqual([{ value: 1 }])
  expect(() => port1.postMessage(() => {})).toThrow()
})

it('tells the other end that it was closed', async () => {
  const { port1, port2 } = new MessageChannelMain()
  let closes = 0
  port2.on('close', () => {
    closes += 1
  })
  port1.close()
  port1.close()
  await turn()
  expect(closes).toBe(1)
})

it('works in the page after it was transferred, and in the main process no more', async () => {
  const { port1, port2 } = new MessageChannelMain()
  const inPage: unknown[] = []
  port1.postMessage('before')
  await turn()
  port2.transferTo({ deliver: (message) => inPage.push(message), closed: () => inPage.push('closed') })
  port1.postMessage('after')
  await turn()
  expect(inPage).toEqual(['before', 'after'])
  expect(() => port2.postMessage('x')).toThrow()
  const got: unknown[] = []
  port1.on('message', ({ data }) => got.push(data))
  port1.start()
  port2.postFromPage('from the page')
  port1.close()
  await turn()
  expect(got).toEqual(['from the page'])
  expect(inPage.at(-1)).toBe('closed')
  expect(port1).toBeInstanceOf(MessagePortMain)
})
