import { describe, expect, it } from 'vitest'
import {
  parseConnectAction,
  parseExternalUrl,
  parseMethod,
  parseParams,
  parseSettings,
  parseTerminalMessage,
  parseTerminalRequest,
} from './request-parsing.ts'

const refusal = expect.objectContaining({ code: 'app.bad-request' })

describe('what a page sends', () => {
  it('is taken where a page of ours could have sent it', () => {
    expect(parseMethod('guests.list')).toBe('guests.list')
    expect(parseParams({ all: true })).toEqual({ all: true })
    expect(parseConnectAction('start-lab')).toBe('start-lab')
    expect(parseTerminalRequest({ guest: 'web', kind: 'console', more: 1 })).toEqual({
      guest: 'web',
      kind: 'console',
    })
    expect(parseExternalUrl('https://example.org/')).toBe('https://example.org/')
  })

  it.each([
    ['a method of the main process', () => parseMethod('streams.open')],
    ['a method of Object', () => parseMethod('toString')],
    ['no method', () => parseMethod(undefined)],
    ['an array of parameters', () => parseParams([])],
    ['no parameters', () => parseParams(null)],
    ['an unknown action', () => parseConnectAction('stop')],
    ['a terminal without a guest', () => parseTerminalRequest({ kind: 'stdio' })],
    ['an endless name', () => parseTerminalRequest({ guest: 'x'.repeat(129), kind: 'stdio' })],
    ['a local file', () => parseExternalUrl('file:///etc/passwd')],
  ])('is refused: %s', (_what, parse) => {
    expect(parse).toThrow(refusal)
  })
})

describe('parseSettings()', () => {
  it('keeps what is known and sensible', () => {
    expect(parseSettings({ theme: 'dark', onQuit: 'sometimes', terminalFontSize: 14.4, more: 1 })).toEqual({
      theme: 'dark',
      terminalFontSize: 14,
    })
    expect(parseSettings({ terminalFontSize: 400 })).toEqual({})
  })
})

describe('parseTerminalMessage()', () => {
  it.each([
    { type: 'input', bytes: new Uint8Array([3]) },
    { type: 'resize', rows: 24, columns: 80 },
    { type: 'ack', stream: 1, offset: 0 },
  ])('takes %j', (message) => {
    expect(parseTerminalMessage(message)).toEqual(message)
  })
  it.each([
    undefined,
    'input',
    { type: 'input', bytes: 'text' },
    { type: 'input', bytes: new Uint8Array(2 * 1024 * 1024) },
    { type: 'resize', rows: 0, columns: 80 },
    { type: 'resize', rows: 24, columns: 70000 },
    { type: 'ack', stream: 0, offset: 1 },
    { type: 'ack', stream: 1, offset: -1 },
    { type: 'ack', stream: 1, offset: 1.5 },
    { type: 'signal', number: 9 },
  ])('drops %j', (message) => {
    expect(parseTerminalMessage(message)).toBeUndefined()
  })
})
