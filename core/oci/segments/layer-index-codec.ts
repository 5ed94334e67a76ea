// A layer's index as bytes: all that its tar entries say, in the order of the tar. Compact (about a fifth of the objects
// in memory), and read entry by entry, so that an index of a million entries never is a million objects.
//
// Each entry: a head byte (type, and what is as in the entry before), the path as the length that it shares with the path
// before and the rest, mode, then what the head says: owner, time, size, link target, device, extended attributes.

import type { ByteString } from '../layer/byte-string.ts'
import type { ExtendedAttributes, TarEntry, TarEntryType } from '../layer/tar-entry.ts'
import { VarintReader, VarintWriter } from '../writers/varint.ts'

/** Positions in this list are on the disk. */
const TYPES: readonly TarEntryType[] = [
  'file',
  'directory',
  'symlink',
  'hardlink',
  'character-device',
  'block-device',
  'fifo',
]
const TYPE_BITS = 0x07
const HAS_XATTRS = 0x08
const SAME_OWNER = 0x10
const SAME_TIME = 0x20

/** What an entry may have in common with the one before it. */
type Common = Pick<TarEntry, 'path' | 'uid' | 'gid' | 'mtimeSeconds'>
const NOTHING_BEFORE: Common = { path: '', uid: 0, gid: 0, mtimeSeconds: 0 }

export class LayerIndexEncoder {
  readonly #writer = new VarintWriter()
  #before: Common = NOTHING_BEFORE
  #count = 0

  /** Adds an entry; its ordinal must be the number of entries added before. */
  add(entry: TarEntry): void {
    const { path, type, mode, uid, gid, mtimeSeconds, xattrs } = entry
    const before = this.#before
    const isSameOwner = uid === before.uid && gid === before.gid
    const isSameTime = mtimeSeconds === before.mtimeSeconds
    const writer = this.#writer
    writer.byte(
      TYPES.indexOf(type) |
        (xattrs === null ? 0 : HAS_XATTRS) |
        (isSameOwner ? SAME_OWNER : 0) |
        (isSameTime ? SAME_TIME : 0),
    )
    const shared = sharedLength(before.path, path)
    writer.unsigned(shared)
    writer.text(path.slice(shared))
    writer.unsigned(mode)
    if (!isSameOwner) {
      writer.unsigned(uid)
      writer.unsigned(gid)
    }
    if (!isSameTime) writer.signed(mtimeSeconds)
    this.#addSpecifics(entry)
    if (xattrs !== null) this.#addXattrs(xattrs)
    this.#before = entry
    this.#count += 1
  }

  get count(): number {
    return this.#count
  }

  /** The index so far. */
  finish(): Buffer {
    return this.#writer.finish()
  }

  #addSpecifics({ type, sizeBytes, linkTarget, deviceMajor, deviceMinor }: TarEntry): void {
    switch (type) {
      case 'file':
        this.#writer.unsigned(sizeBytes)
        break
      case 'symlink':
      case 'hardlink':
        this.#writer.text(linkTarget)
        break
      case 'character-device':
      case 'block-device':
        this.#writer.signed(deviceMajor)
        this.#writer.signed(deviceMinor)
        break
      case 'directory':
      case 'fifo':
    }
  }

  #addXattrs(xattrs: ExtendedAttributes): void {
    this.#writer.unsigned(xattrs.size)
    for (const [name, value] of xattrs) {
      this.#writer.text(name)
      this.#writer.unsigned(value.length)
      this.#writer.bytes(value)
    }
  }
}

/** The entries of an encoded index; can be gone through any number of times. */
export function decodeLayerIndex(index: Buffer, entryCount: number): Iterable<TarEntry> {
  return { [Symbol.iterator]: () => decodeEntries(index, entryCount) }
}

function* decodeEntries(index: Buffer, entryCount: number): Generator<TarEntry, void, void> {
  const reader = new VarintReader(index)
  let before = NOTHING_BEFORE
  for (let ordinal = 0; ordinal < entryCount; ordinal++) {
    const entry = decodeEntry(reader, before, ordinal)
    before = entry
    yield entry
  }
}

function decodeEntry(reader: VarintReader, before: Common, ordinal: number): TarEntry {
  const head = reader.byte()
  const type = TYPES[head & TYPE_BITS]
  if (type === undefined) throw new RangeError(`the index of a layer has an entry of the type ${head}`)
  const path = reader.continuedText(reader.unsigned())
  const mode = reader.unsigned()
  const isSameOwner = (head & SAME_OWNER) !== 0
  const uid = isSameOwner ? before.uid : reader.unsigned()
  const gid = isSameOwner ? before.gid : reader.unsigned()
  const mtimeSeconds = (head & SAME_TIME) !== 0 ? before.mtimeSeconds : reader.signed()
  const sizeBytes = type === 'file' ? reader.unsigned() : 0
  const linkTarget: ByteString = type === 'symlink' || type === 'hardlink' ? reader.text() : ''
  const isDevice = type === 'character-device' || type === 'block-device'
  const deviceMajor = isDevice ? reader.signed() : 0
  const deviceMinor = isDevice ? reader.signed() : 0
  const xattrs = (head & HAS_XATTRS) !== 0 ? decodeXattrs(reader) : null
  return {
    ordinal,
    path,
    type,
    mode,
    uid,
    gid,
    mtimeSeconds,
    sizeBytes,
    linkTarget,
    deviceMajor,
    deviceMinor,
    xattrs,
  }
}

function decodeXattrs(reader: VarintReader): ExtendedAttributes {
  const xattrs = new Map<ByteString, Buffer>()
  const count = reader.unsigned()
  for (let index = 0; index < count; index++) {
    const name = reader.text()
    // A copy, so that a node of the tree does not keep the whole index in memory.
    xattrs.set(name, Buffer.from(reader.bytes(reader.unsigned())))
  }
  return xattrs
}

function sharedLength(one: string, other: string): number {
  const limit = Math.min(one.length, other.length)
  let length = 0
  while (length < limit && one.charCodeAt(length) === other.charCodeAt(length)) length++
  return length
}
