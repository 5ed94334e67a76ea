import { describe, expect, test } from 'vitest'
import { bytes, i16, i32, size, structLayout, u8, u16, u32, u64 } from './struct-layout.ts'

const layout = structLayout('struct example', 40, {
  a: u8(0),
  b: u16(2),
  c: u32(4),
  d: i16(8),
  e: i32(12),
  f: u64(16),
  g: size(24),
  h: bytes(32, 8),
})

describe('structLayout()', () => {
  test('writes and reads little-endian at the declared offsets', () => {
    const { struct, bytes: memory } = layout.create()
    struct.a = 0xfe
    struct.b = 0x1234
    struct.c = 0x89abcdef
    struct.d = -2
    struct.e = -3
    struct.f = 0x1122334455667788n
    struct.g = 0x1f_ffff_ffff_ffff
    struct.h = Uint8Array.of(1, 2, 3)
    expect(Buffer.from(memory).toString('hex')).toBe(
      'fe003412efcdab89feff0000fdffffff8877665544332211ffffffffffff1f000102030000000000',
    )
    expect({ ...values(struct) }).toEqual({
      a: 0xfe,
      b: 0x1234,
      c: 0x89abcdef,
      d: -2,
      e: -3,
      f: 0x1122334455667788n,
      g: 0x1f_ffff_ffff_ffff,
      h: Uint8Array.of(1, 2, 3, 0, 0, 0, 0, 0),
    })
  })

  test('works inside a larger memory and shares its bytes', () => {
    const memory = new Uint8Array(64)
    const struct = layout.at(new DataView(memory.buffer, 8), 16)
    struct.c = 5
    expect(memory[8 + 16 + 4]).toBe(5)
    struct.h[7] = 9
    expect(memory[8 + 16 + 39]).toBe(9)
  })

  test('refuses memory that is too small, values that are too long and fields beyond the end', () => {
    expect(() => layout.at(new DataView(new ArrayBuffer(48)), 9)).toThrow('does not fit')
    const { struct } = layout.create()
    expect(() => {
      struct.h = new Uint8Array(9)
    }).toThrow('do not fit')
    expect(() => structLayout('struct short', 4, { a: u32(1) })).toThrow('beyond its 4 bytes')
  })

  test('does not hand out a 64-bit number that a double cannot hold', () => {
    const { struct } = layout.create()
    const raw = layout.create()
    raw.bytes.fill(0xff)
    expect(() => layout.at(new DataView(raw.bytes.buffer)).g).toThrow('beyond 2^53')
    expect(struct.g).toBe(0)
  })
})

function values(struct: object): Record<string, unknown> {
  return Object.fromEntries(Object.keys(layout.fields).map((name) => [name, Reflect.get(struct, name)]))
}
