// Extended attributes: each different set of them is stored once, inodes hold its number. squashfs has room for the
// namespaces user, trusted and security; others (POSIX ACLs in `system.`) are left out, as tar2sqfs and mksquashfs do.

import { type ByteString, bytesOf } from '../../layer/byte-string.ts'
import type { ExtendedAttributes } from '../../layer/tar-entry.ts'
import type { BlockCompressor } from './block-compressor.ts'
import { NONE_32, packReference, XATTR_ENTRY, XATTR_ID, XATTR_VALUE } from './format.ts'
import { MetadataTable } from './metadata-table.ts'

/** SQUASHFS_XATTR_USER, _TRUSTED and _SECURITY. */
const PREFIXES = ['user.', 'trusted.', 'security.'] as const

interface StorableAttribute {
  readonly prefix: number
  readonly name: ByteString
  readonly value: Buffer
}

export class XattrTable {
  readonly #pairs: MetadataTable
  readonly #known = new Map<string, number>()
  readonly #ids: Buffer[] = []

  constructor(compressor: BlockCompressor) {
    this.#pairs = new MetadataTable(compressor)
  }

  /** The number of a set of attributes, or `NONE_32` when none of them can be stored. */
  numberOf(xattrs: ExtendedAttributes | null): number {
    if (xattrs === null) return NONE_32
    const attributes = [...xattrs].flatMap(storable).sort(byName)
    if (attributes.length === 0) return NONE_32
    const record = Buffer.concat(attributes.map(encodeAttribute))
    const key = record.toString('latin1')
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const reference = packReference(this.#pairs.append(record))
    const number = this.#ids.length
    this.#ids.push(XATTR_ID.encode({ reference, count: attributes.length, sizeBytes: record.length }))
    this.#known.set(key, number)
    return number
  }

  get count(): number {
    return this.#ids.length
  }

  /** The names and values, as they go onto the disk. */
  finishPairs(): Buffer {
    return this.#pairs.finish()
  }

  /** The entries of the id table. */
  ids(): Buffer {
    return Buffer.concat(this.#ids)
  }
}

function storable([fullName, value]: readonly [ByteString, Buffer]): StorableAttribute[] {
  const prefix = PREFIXES.findIndex((candidate) => fullName.startsWith(candidate))
  const name = fullName.slice(PREFIXES[prefix]?.length)
  return prefix === -1 || name === '' ? [] : [{ prefix, name, value }]
}

function byName(one: StorableAttribute, other: StorableAttribute): number {
  return one.prefix - other.prefix || (one.name < other.name ? -1 : 1)
}

function encodeAttribute({ prefix, name, value }: StorableAttribute): Buffer {
  const nameBytes = bytesOf(name)
  return Buffer.concat([
    XATTR_ENTRY.encode({ prefix, nameBytes: nameBytes.length }),
    nameBytes,
    XATTR_VALUE.encode({ valueBytes: value.length }),
    value,
  ])
}
