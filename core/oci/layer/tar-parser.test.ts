import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { OciError } from '../errors.ts'
import { TAR_LIMITS } from './tar-limits.ts'
import { TarParser } from './tar-parser.ts'
import { parseTar } from './testing/parse-tar.ts'
import {
  directory,
  file,
  hardlink,
  memberBytes,
  metadataMember,
  paxRecord,
  symlink,
  type TarMember,
  tarOf,
  withChecksum,
} from './testing/tar-writer.ts'

const END = Buffer.alloc(1024)

function first(members: readonly TarMember[]) {
  const [entry] = parseTar(tarOf(members))
  if (entry === undefined) throw new Error('no entry')
  return entry
}

/** A header block with some bytes replaced and the checksum made right again. */
function patched(member: TarMember, changes: Readonly<Record<number, Buffer | string>>): Buffer {
  const bytes = memberBytes(member)
  for (const [offset, value] of Object.entries(changes)) Buffer.from(value).copy(bytes, Number(offset))
  withChecksum(bytes.subarray(0, 512))
  return Buffer.concat([bytes, END])
}

describe('entries', () => {
  test('every type is told with its attributes', () => {
    const entries = parseTar(
      tarOf([
        directory('./', { mode: 0o1777, uid: 1, gid: 2, mtime: 3 }),
        file('f', 'content', { mode: 0o4755 }),
        symlink('s', '../target'),
        hardlink('h', 'f'),
        { path: 'c', flag: '3', major: 5, minor: 1 },
        { path: 'b', flag: '4', major: 8, minor: 300 },
        { path: 'p', flag: '6' },
        { path: 'old', flag: '\0', content: 'v7 file' },
        { path: 'olddir/', flag: '\0' },
        { path: 'contiguous', flag: '7', content: 'x' },
      ]),
    )
    const shapes = entries.map(
      ({ path, type, linkTarget, content }) => `${path} ${type} ${linkTarget}${content}`,
    )
    expect(shapes).toEqual([
      './ directory ',
      'f file content',
      's symlink ../target',
      'h hardlink f',
      'c character-device ',
      'b block-device ',
      'p fifo ',
      'old file v7 file',
      'olddir/ directory ',
      'contiguous file x',
    ])
    expect(entries[0]).toMatchObject({ mode: 0o1777, uid: 1, gid: 2, mtimeSeconds: 3, ordinal: 0 })
    expect(entries[1]).toMatchObject({ mode: 0o4755, sizeBytes: 7, ordinal: 1 })
    expect(entries[5]).toMatchObject({ deviceMajor: 8, deviceMinor: 300 })
  })

  test.each([1, 7, 511, 512, 513, 4096])('an archive in pieces of %i bytes reads the same', (pieceBytes) => {
    const archive = tarOf([
      file('empty'),
      file(`${'long/'.repeat(60)}name`, Buffer.alloc(1500, 'a'), { xattrs: { 'user.a': 'b' } }),
      directory('d'),
      file('exact', Buffer.alloc(1024, 'b')),
    ])
    expect(parseTar(archive, pieceBytes)).toEqual(parseTar(archive))
  })

  test('names keep their bytes when they are not UTF-8', () => {
    expect(first([file('caf\xe9')]).path).toBe('caf\xe9')
    expect(first([file(`${'x'.repeat(120)}\xff\xfe`)]).path).toBe(`${'x'.repeat(120)}\xff\xfe`)
  })

  test('links and directories carry no data, whatever their size says', () => {
    const entries = parseTar(tarOf([symlink('s', 't', { sizeField: 512 }), file('after', 'x')]))
    expect(entries.map(({ path }) => path)).toEqual(['s', 'after'])
  })
})

describe('numbers', () => {
  test('base-256 numbers are read, negative times too', () => {
    const size = Buffer.alloc(12)
    size[0] = 0x80
    size[11] = 5
    const time = Buffer.alloc(12, 0xff)
    time[11] = 0xf6
    const uid = Buffer.from([0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xfe])
    const archive = patched(file('f', 'hello'), { 108: uid, 124: size, 136: time })
    expect(parseTar(archive)[0]).toMatchObject({ sizeBytes: 5, mtimeSeconds: -10, uid: 0x7ffffffe })
  })

  test.each([
    ['leading spaces', '     5 '],
    ['a NUL at the end', '0000005\0'],
    ['all blank', '        '],
  ])('an octal number with %s is read', (_, text) => {
    expect(parseTar(patched(file('f'), { 108: text }))[0]?.uid).toBe(text.trim() === '' ? 0 : 5)
  })

  test('a signed checksum of an old tar is accepted', () => {
    const block = memberBytes(file('caf\xe9\xff'))
    const signed = block.subarray(0, 512).reduce((sum, byte, index) => {
      const isChecksum = index >= 148 && index < 156
      return sum + (isChecksum ? 0x20 : byte > 127 ? byte - 256 : byte)
    }, 0)
    block.write(`${signed.toString(8).padStart(6, '0')}\0 `, 148)
    expect(parseTar(Buffer.concat([block, END]))[0]?.path).toBe('caf\xe9\xff')
  })
})

describe('PAX headers', () => {
  test('records override the header', () => {
    const pax = { path: 'real', uid: '4000000000', gid: '7', mtime: '-1.5', size: '5' }
    const entry = first([file('fake', 'hello', { pax, sizeField: 0 })])
    expect(entry).toMatchObject({ path: 'real', uid: 4e9, gid: 7, mtimeSeconds: -2 })
    expect(entry.content.toString()).toBe('hello')
  })

  test('the size of a record wins for data and for skipping (CVE-2025-62518)', () => {
    const hidden = tarOf([file('smuggled', 'x')])
    const entries = parseTar(
      tarOf([
        file('blob', hidden, { sizeField: 0, pax: { size: String(hidden.length) } }),
        file('after', 'y'),
      ]),
    )
    expect(entries.map(({ path }) => path)).toEqual(['blob', 'after'])
  })

  test('an empty record takes itself back', () => {
    expect(first([file('kept', '', { pax: { path: '' } })]).path).toBe('kept')
  })

  test('binary attributes survive, in both spellings', () => {
    const value = Buffer.from([1, 0, 0, 2, 0xff, 0x0a, 0x3d])
    const pax = {
      'LIBARCHIVE.xattr.user.one%20two': value.toString('base64').replace(/=+$/, ''),
      'LIBARCHIVE.xattr.user.both': Buffer.from('encoded').toString('base64'),
    }
    const { xattrs } = first([
      file('f', '', { xattrs: { 'security.capability': value, 'user.both': 'raw' }, pax }),
    ])
    expect(Object.fromEntries(xattrs ?? [])).toEqual({
      'security.capability': value,
      'user.both': Buffer.from('raw'),
      'user.one two': value,
    })
  })

  test('a global header holds for all entries until its record is set again', () => {
    const archive = Buffer.concat([
      metadataMember('g', Buffer.concat([paxRecord('comment', 'from git'), paxRecord('uid', '77')])),
      memberBytes(file('one')),
      memberBytes(file('two', '', { pax: { uid: '5' } })),
      memberBytes(file('three')),
      END,
    ])
    expect(parseTar(archive).map(({ uid }) => uid)).toEqual([77, 5, 77])
  })

  test('records do not hold for the entry after', () => {
    expect(parseTar(tarOf([file('a', '', { pax: { uid: '5' } }), file('b')]))[1]?.uid).toBe(0)
  })
})

describe('GNU long names', () => {
  test('a long name and a long link are taken for the next entry only', () => {
    const archive = Buffer.concat([
      metadataMember('K', Buffer.from(`${'t'.repeat(300)}\0`)),
      metadataMember('L', Buffer.from(`${'n'.repeat(300)}\0`)),
      memberBytes(symlink('short', 'short')),
      memberBytes(file('next')),
      END,
    ])
    expect(parseTar(archive)).toMatchObject([
      { path: 'n'.repeat(300), linkTarget: 't'.repeat(300) },
      { path: 'next', linkTarget: '' },
    ])
  })

  test('the prefix of an old GNU header is not part of the name', () => {
    const archive = patched(file('f'), { 257: 'ustar  \0', 345: '00000000000\x0000000000000\0' })
    expect(parseTar(archive)[0]?.path).toBe('f')
  })

  test('the prefix of a POSIX header is, and star keeps times in its last bytes', () => {
    const posix = patched(file('f'), { 345: 'dir/sub' })
    expect(parseTar(posix)[0]?.path).toBe('dir/sub/f')
    const star = patched(file('f'), { 345: 'dir/sub', 476: '12345670123 12345670123 ', 508: 'tar\0' })
    expect(parseTar(star)[0]?.path).toBe('dir/sub/f')
  })
})

describe('the end of an archive', () => {
  test('may be missing', () => {
    expect(parseTar(memberBytes(file('f', 'x')))).toHaveLength(1)
    expect(parseTar(Buffer.alloc(0))).toEqual([])
  })

  test('hides whatever follows it', () => {
    expect(
      parseTar(Buffer.concat([tarOf([file('f')]), tarOf([file('g')]), Buffer.from('junk')])),
    ).toHaveLength(1)
  })
})

describe('malformed archives are refused', () => {
  const pax = (content: Buffer | string) =>
    Buffer.concat([metadataMember('x', Buffer.from(content)), memberBytes(file('f')), END])
  const recordFor = (key: string, value: Buffer | string) => pax(paxRecord(key, value))

  test.each<[string, Buffer, RegExp]>([
    ['cut off in a header', tarOf([file('f')]).subarray(0, 300), /cut off/],
    ['cut off in the data', tarOf([file('f', Buffer.alloc(900))]).subarray(0, 700), /cut off/],
    ['cut off in the padding', tarOf([file('f', 'abc')]).subarray(0, 600), /cut off/],
    ['a wrong checksum', Buffer.from(tarOf([file('f')])).fill(0x41, 0, 1), /checksum/],
    ['a lone zero block', Buffer.concat([Buffer.alloc(512), tarOf([file('f')])]), /single zero block/],
    ['a size that is no number', patched(file('f'), { 124: '12x' }), /size is not an octal number/],
    ['a negative size', patched(file('f'), { 124: Buffer.alloc(12, 0xff) }), /size is negative/],
    [
      'a size beyond 2^53',
      patched(file('f'), { 124: Buffer.from([0x80, 0, 0, 0, 0xff, 0xff]) }),
      /too large/,
    ],
    ['an unknown type', patched(file('f'), { 156: 'V' }), /type "V"/],
    ['a negative uid', patched(file('f'), { 108: Buffer.alloc(8, 0xff) }), /uid -1/],
    ['a uid of 2^32-1', recordFor('uid', '4294967295'), /uid 4294967295/],
    ['a record without a length', pax('path=x\n'), /no length/],
    ['a record longer than its header', pax('99 path=x\n'), /wrong length/],
    ['a record that ends early', pax('7 path=x\n'), /wrong length/],
    ['a record without an end of line', pax('9 path=xy'), /wrong length/],
    ['a record of length 0', pax('0 path=x\n'), /wrong length/],
    ['a record with a sign', pax('+9 path=x\n'), /no length/],
    ['a record without a key', pax('5 =x\n'), /no key/],
    ['a record without a value', pax('5 ab\n'), /no key or no value/],
    ['a path with NUL', recordFor('path', 'a\0b'), /NUL/],
    ['a linkpath with NUL', recordFor('linkpath', 'a\0b'), /NUL/],
    ['a size in words', recordFor('size', 'many'), /not a number/],
    ['a negative size record', recordFor('size', '-1'), /not a number/],
    ['a time in words', recordFor('mtime', 'now'), /not a time/],
    ['an attribute with a long name', recordFor(`SCHILY.xattr.user.${'x'.repeat(300)}`, 'v'), /name/],
    ['an attribute with a large value', recordFor('SCHILY.xattr.user.x', Buffer.alloc(65537)), /too large/],
    ['an attribute in bad base64', recordFor('LIBARCHIVE.xattr.user.x', '!!'), /base64/],
    [
      'two PAX headers in a row',
      Buffer.concat([metadataMember('x', paxRecord('uid', '1')), pax('')]),
      /two PAX/,
    ],
    ['a PAX header at the end', Buffer.concat([metadataMember('x', paxRecord('uid', '1')), END]), /no entry/],
    ['a long name at the end', Buffer.concat([metadataMember('L', Buffer.from('x')), END]), /no entry/],
    ['a global path', Buffer.concat([metadataMember('g', paxRecord('path', 'x')), END]), /global/],
    ['a global size', Buffer.concat([metadataMember('g', paxRecord('size', '1')), END]), /global/],
  ])('%s', (_, archive, reason) => {
    expect(() => parseTar(archive)).toThrow(reason)
    expect(() => parseTar(archive, 100)).toThrow(reason)
  })

  test('an extended header over 1 MiB is refused before memory is taken for it', () => {
    const archive = patched({ path: 'x', flag: 'x' }, { 124: '77777777777' })
    expect(() => parseTar(archive)).toThrow(/1 MiB/)
  })

  test('too many PAX records are refused', () => {
    const records = Array.from({ length: TAR_LIMITS.paxRecords + 1 }, (_, index) =>
      paxRecord(`k${index}`, 'v'),
    )
    expect(() => parseTar(pax(Buffer.concat(records)))).toThrow(/more than 1000 records/)
  })

  test('global headers that add up to more than 1 MiB are refused', () => {
    const header = (key: string) => metadataMember('g', paxRecord(key, Buffer.alloc(600_000)))
    expect(() => parseTar(Buffer.concat([header('a'), header('a'), header('b')]))).toThrow(/more than 1 MiB/)
  })

  test('attributes that would fill the memory are refused', () => {
    const parser = new TarParser('layer 1', { entry() {}, data() {}, hole() {}, end() {} })
    const names = Array.from({ length: 16 }, (_, index) => [`user.${index}`, Buffer.alloc(65_536)])
    const member = memberBytes(file('f', '', { xattrs: Object.fromEntries(names) }))
    expect(member.length).toBeGreaterThan(1024 * 1024)
    const refused = memberBytes(file('f', '', { xattrs: Object.fromEntries(names.slice(1)) }))
    expect(() => parser.write(member)).toThrow(/1 MiB is allowed/)
    const other = new TarParser('layer 1', { entry() {}, data() {}, hole() {}, end() {} })
    expect(() => {
      for (let count = 0; count < 300; count++) other.write(refused)
    }).toThrow(expect.objectContaining({ code: 'oci.limit', data: { which: 'layerIndexBytes' } }))
  })

  test('the error names the layer, the entry and where it is', () => {
    const archive = Buffer.concat([memberBytes(file('ok', 'x')), patched(file('bad'), { 156: 'V' })])
    expect(() => parseTar(archive)).toThrow('Cannot read layer 1, entry "bad": its type "V"')
    expect(() => parseTar(archive)).toThrow(
      expect.objectContaining({
        code: 'oci.corrupt-layer',
        data: { layer: 'layer 1', path: 'bad', offset: 1024 },
      }),
    )
  })

  test.each([1, 509, 1 << 20])(
    'the error names the same byte when the archive comes in pieces of %i bytes',
    (pieceBytes) => {
      const archive = Buffer.concat([memberBytes(file('good', 'x')), Buffer.alloc(512, 'no header')])
      expect(() => parseTar(archive, pieceBytes)).toThrow(/^Cannot read layer 1, at byte 1024: /)
    },
  )
})

test('damaged archives are read or refused, and nothing else happens', () => {
  const archive = tarOf([
    directory('d', { xattrs: { 'user.a': 'b' } }),
    file('n'.repeat(150), 'content', { pax: { mtime: '12.5' } }),
    file('s', 'data', {
      pax: { 'GNU.sparse.map': '100,4', 'GNU.sparse.size': '200', 'GNU.sparse.name': 'x' },
    }),
    symlink('l', 't'.repeat(120)),
  ])
  const damage = fc.array(fc.tuple(fc.nat(archive.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 })
  fc.assert(
    fc.property(damage, fc.integer({ min: 1, max: 3000 }), (changes, pieceBytes) => {
      const damaged = Buffer.from(archive)
      for (const [offset, byte] of changes) damaged[offset] = byte
      for (let offset = 0; offset < damaged.length; offset += 512) {
        const isHeader = archive.toString('latin1', offset + 257, offset + 262) === 'ustar'
        if (isHeader) withChecksum(damaged.subarray(offset, offset + 512))
      }
      try {
        parseTar(damaged, pieceBytes)
      } catch (error) {
        expect(error).toBeInstanceOf(OciError)
      }
    }),
    { numRuns: 1000 },
  )
})

describe('sparse files', () => {
  const data = (size: number, fill: string) => Buffer.alloc(size, fill)
  const expected = Buffer.concat([
    data(600, '\0'),
    data(1000, 'a'),
    data(400, '\0'),
    data(24, 'b'),
    data(976, '\0'),
  ])
  const stored = Buffer.concat([data(1000, 'a'), data(24, 'b')])
  const regions = [600, 1000, 2000, 24]

  test.each(['0.1', '1.0'])('PAX %s is expanded', (version) => {
    const text = `2\n${regions.join('\n')}\n`
    const map = Buffer.concat([Buffer.from(text), Buffer.alloc(512 - text.length)])
    const member =
      version === '0.1'
        ? file('GNUSparseFile.1/f', stored, {
            pax: { 'GNU.sparse.map': regions.join(','), 'GNU.sparse.size': '3000', 'GNU.sparse.name': 'f' },
          })
        : file('GNUSparseFile.1/f', Buffer.concat([map, stored]), {
            pax: {
              'GNU.sparse.major': '1',
              'GNU.sparse.minor': '0',
              'GNU.sparse.realsize': '3000',
              'GNU.sparse.name': 'f',
            },
          })
    for (const pieceBytes of [1e6, 512, 100]) {
      const [entry, after] = parseTar(tarOf([member, file('after')]), pieceBytes)
      expect(entry).toMatchObject({ path: 'f', sizeBytes: 3000 })
      expect(entry?.content.equals(expected)).toBe(true)
      expect(after?.path).toBe('after')
    }
  })

  test('PAX 0.0 with repeated records is expanded', () => {
    const records = Buffer.concat([
      paxRecord('GNU.sparse.size', '3000'),
      ...[0, 2].flatMap((index) => [
        paxRecord('GNU.sparse.offset', String(regions[index])),
        paxRecord('GNU.sparse.numbytes', String(regions[index + 1])),
      ]),
    ])
    const archive = Buffer.concat([metadataMember('x', records), memberBytes(file('f', stored)), END])
    expect(parseTar(archive)[0]?.content.equals(expected)).toBe(true)
  })

  const sparse = (map: string, size: string, content = stored) =>
    tarOf([file('f', content, { pax: { 'GNU.sparse.map': map, 'GNU.sparse.size': size } })])
  test.each<[string, Buffer, RegExp]>([
    ['overlapping regions', sparse('0,600,500,424', '3000'), /overlap/],
    ['regions out of order', sparse('2000,24,0,1000', '3000'), /overlap/],
    ['a region outside of the file', sparse('0,1000,2000,24', '2010'), /outside/],
    ['less data than regions', sparse('0,1000,2000,25', '3000'), /1025 bytes, but 1024/],
    ['an offset without a length', sparse('0,1000,2000', '3000'), /no length/],
    ['words', sparse('0,x', '3000'), /not a list/],
    [
      'a map without a size',
      tarOf([file('f', stored, { pax: { 'GNU.sparse.map': '0,1024' } })]),
      /without a size/,
    ],
    [
      'a text map that never ends',
      tarOf([
        file('f', Buffer.alloc(512, '9'), {
          pax: { 'GNU.sparse.major': '1', 'GNU.sparse.realsize': '3000' },
        }),
      ]),
      /not a list/,
    ],
    [
      'a text map larger than the data',
      tarOf([
        file('f', Buffer.concat([Buffer.from('500\n'), Buffer.alloc(508, '1\n')]), {
          pax: { 'GNU.sparse.major': '1', 'GNU.sparse.realsize': '3000' },
        }),
      ]),
      /cut off/,
    ],
    [
      'a text map with a billion regions',
      tarOf([
        file('f', Buffer.concat([Buffer.from('1000000000\n'), Buffer.alloc(501)]), {
          pax: { 'GNU.sparse.major': '1', 'GNU.sparse.realsize': '3000' },
        }),
      ]),
      /more than 1000000/,
    ],
  ])('%s is refused', (_, archive, reason) => {
    expect(() => parseTar(archive)).toThrow(reason)
  })
})
