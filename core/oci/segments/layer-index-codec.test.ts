import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { TarEntry, TarEntryType } from '../layer/tar-entry.ts'
import { decodeLayerIndex, LayerIndexEncoder } from './layer-index-codec.ts'

function roundTrip(entries: readonly TarEntry[]): TarEntry[] {
  const encoder = new LayerIndexEncoder()
  for (const entry of entries) encoder.add(entry)
  return [...decodeLayerIndex(encoder.finish(), encoder.count)]
}

const bytes = fc.string({ unit: fc.integer({ min: 1, max: 255 }).map((code) => String.fromCharCode(code)) })
const id = fc.oneof(fc.constantFrom(0, 1000), fc.integer({ min: 0, max: 0xffff_fffe }))
const xattrs = fc.option(
  fc
    .array(fc.tuple(bytes, fc.uint8Array({ maxLength: 300 })))
    .map((pairs) => new Map(pairs.map(([name, value]) => [name, Buffer.from(value)]))),
)
const types: TarEntryType[] = ['file', 'directory', 'symlink', 'hardlink', 'character-device', 'fifo']

const entry = fc
  .record({
    path: fc.oneof(
      bytes,
      bytes.map((name) => `usr/share/doc/${name}`),
    ),
    type: fc.constantFrom(...types),
    mode: fc.integer({ min: 0, max: 0o7777 }),
    uid: id,
    gid: id,
    mtimeSeconds: fc.oneof(fc.constant(1_700_000_000), fc.integer({ min: -(2 ** 40), max: 2 ** 40 })),
    sizeBytes: fc.maxSafeNat(),
    linkTarget: bytes,
    deviceMajor: fc.integer(),
    deviceMinor: fc.integer(),
    xattrs,
  })
  .map(onlyWhatItsTypeHas)

/** As the parser makes entries: what a type does not have is empty. */
function onlyWhatItsTypeHas(fields: Omit<TarEntry, 'ordinal'>): Omit<TarEntry, 'ordinal'> {
  const { type } = fields
  const isDevice = type === 'character-device'
  return {
    ...fields,
    sizeBytes: type === 'file' ? fields.sizeBytes : 0,
    linkTarget: type === 'symlink' || type === 'hardlink' ? fields.linkTarget : '',
    deviceMajor: isDevice ? fields.deviceMajor : 0,
    deviceMinor: isDevice ? fields.deviceMinor : 0,
  }
}

describe('the index of a layer', () => {
  test('comes back as it was, whatever the entries', () => {
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 30 }), (fields) => {
        const entries = fields.map((some, ordinal) => ({ ordinal, ...some }))
        expect(roundTrip(entries)).toEqual(entries)
      }),
    )
  })

  test('can be gone through again', () => {
    const [fields] = fc.sample(entry, 1)
    const encoder = new LayerIndexEncoder()
    encoder.add({ ordinal: 0, ...(fields as Omit<TarEntry, 'ordinal'>) })
    const entries = decodeLayerIndex(encoder.finish(), 1)
    expect([...entries]).toEqual([...entries])
  })

  test('takes a few bytes for each entry of a usual layer', () => {
    const encoder = new LayerIndexEncoder()
    for (let ordinal = 0; ordinal < 10_000; ordinal++)
      encoder.add({
        ordinal,
        path: `usr/lib/python3/dist-packages/package/module-${ordinal}.py`,
        type: 'file',
        mode: 0o644,
        uid: 0,
        gid: 0,
        mtimeSeconds: 1_700_000_000 + (ordinal >> 5),
        sizeBytes: ordinal * 100,
        linkTarget: '',
        deviceMajor: 0,
        deviceMinor: 0,
        xattrs: null,
      })
    expect(encoder.finish().length).toBeLessThan(10_000 * 20)
  })

  test('that is cut off is an error', () => {
    const [fields] = fc.sample(entry, 1)
    const encoder = new LayerIndexEncoder()
    encoder.add({ ordinal: 0, ...(fields as Omit<TarEntry, 'ordinal'>) })
    const index = encoder.finish()
    expect(() => [...decodeLayerIndex(index.subarray(0, index.length - 1), 1)]).toThrow(RangeError)
  })
})
