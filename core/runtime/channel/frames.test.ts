import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import {
  creditFrame,
  dataFrame,
  decodeGuestFrame,
  endFrame,
  type Frame,
  helloFrame,
  resizeFrame,
  shutdownFrame,
  signalFrame,
} from './frames.ts'

interface Example {
  name: string
  type: string
  stream: number
  payload: Record<string, unknown>
  hex: string
}
const examples: { frames: Example[]; refused: { name: string; hex: string }[] } = JSON.parse(
  readFileSync(new URL('../../../docs/contracts/channel.examples.json', import.meta.url), 'utf8'),
)

function parse(hex: string): Frame {
  const bytes = Buffer.from(hex, 'hex')
  const length = bytes.readUInt32LE(0)
  return {
    type: bytes.readUInt16LE(4),
    stream: bytes.readUInt32LE(8),
    container: bytes.readUInt32LE(12),
    payload: bytes.subarray(16, 16 + length),
  }
}

function toHex({ type, stream, container, payload }: Frame): string {
  const header = Buffer.alloc(16)
  header.writeUInt32LE(payload.length, 0)
  header.writeUInt16LE(type, 4)
  header.writeUInt32LE(stream, 8)
  header.writeUInt32LE(container, 12)
  const rest = (8 - (payload.length % 8)) % 8
  return Buffer.concat([header, payload, Buffer.alloc(rest)]).toString('hex')
}

const fromDom0 = new Set(['hello from dom0', 'resize', 'signal', 'shutdown', 'end of stdin'])

describe('control channel frames', () => {
  it.each(examples.frames.filter(({ name }) => !fromDom0.has(name)))('are understood: $name', (example) => {
    const message = decodeGuestFrame(parse(example.hex))
    const plain =
      message.type === 'data'
        ? { ...message, bytes: Buffer.from(message.bytes).toString('hex') }
        : { ...message }
    expect(plain).toMatchObject({ type: example.type, ...example.payload })
  })

  it('are written as the contract has them', () => {
    const hexOf = (name: string) => examples.frames.find((example) => example.name === name)?.hex
    expect(toHex(helloFrame(0x01020304))).toBe(hexOf('hello from dom0'))
    expect(toHex(dataFrame(2, 4294967296, Buffer.from('hi\n')))).toBe(hexOf('three bytes of stdout'))
    expect(toHex(creditFrame(2, 98304))).toBe(hexOf('credit for stdout'))
    expect(toHex(endFrame(1, 20971520))).toBe(hexOf('end of stdin'))
    expect(toHex(resizeFrame(40, 132))).toBe(hexOf('resize'))
    expect(toHex(signalFrame(15, false))).toBe(hexOf('signal'))
    expect(toHex(shutdownFrame())).toBe(hexOf('shutdown'))
  })

  it.each(examples.refused.filter(({ name }) => name !== 'length beyond the limit'))(
    'are refused: $name',
    ({ hex }) => {
      expect(() => decodeGuestFrame(parse(hex))).toThrow(/the guest sent/)
    },
  )

  it('bring no control characters to a terminal', () => {
    const payload = Buffer.concat([Buffer.from([2, 0, 0, 0, 0, 0, 0, 0]), Buffer.from('\u001b]0;x\u0007')])
    expect(decodeGuestFrame({ type: 18, stream: 0, container: 0, payload })).toMatchObject({
      text: '\ufffd]0;x\ufffd',
    })
  })
})
