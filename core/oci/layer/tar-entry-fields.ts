// Puts one entry together from its header block and the extended headers before it. Order of trust as in Go's
// archive/tar: GNU long names, then PAX records, then global records, then the header block.

import type { ByteString } from './byte-string.ts'
import { decimal, wholeSeconds } from './pax-records.ts'
import { xattrsOf } from './pax-xattrs.ts'
import type { TarEntry, TarEntryType } from './tar-entry.ts'
import { deviceOf, linkNameOf, numberOf, pathOf, TarFormatError, typeFlagOf } from './tar-header.ts'

/** POSIX and GNU type flags; `S` is a sparse file of old GNU tar, `7` a "contiguous" file, NUL and `0` a file. */
const ENTRY_TYPES: Readonly<Record<string, TarEntryType>> = {
  '\0': 'file',
  '0': 'file',
  '7': 'file',
  S: 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'character-device',
  '4': 'block-device',
  '5': 'directory',
  '6': 'fifo',
}
const MAX_ID = 0xffff_fffe
const NO_DEVICE = { major: 0, minor: 0 } as const

export interface EntryHeaders {
  readonly block: Buffer
  /** PAX records that hold for this entry, global ones included; an empty value takes a record back. */
  readonly records: ReadonlyMap<ByteString, Buffer>
  /** From GNU `L` and `K` members. */
  readonly longName: ByteString | null
  readonly longLink: ByteString | null
}

/** The path of an entry, read first so that later errors can name it. */
export function entryPath({ block, records, longName }: EntryHeaders): ByteString {
  return longName ?? textRecord(records, 'GNU.sparse.name') ?? textRecord(records, 'path') ?? pathOf(block)
}

/** The bytes that the archive stores for the entry: the PAX size wins, for data and for skipping alike. */
export function storedSize({ block, records }: EntryHeaders): number {
  const sizeBytes = numberRecord(records, 'size') ?? numberOf(block, 'size')
  if (sizeBytes < 0) throw new TarFormatError('its size is negative')
  return sizeBytes
}

/** The whole entry; `sizeBytes` of a file is its stored size. Throws `TarFormatError`. */
export function readEntry(headers: EntryHeaders, path: ByteString, ordinal: number): TarEntry {
  const { block, records, longLink } = headers
  const type = entryType(typeFlagOf(block), path)
  const isDevice = type === 'character-device' || type === 'block-device'
  const isLink = type === 'symlink' || type === 'hardlink'
  const device = isDevice ? deviceOf(block) : NO_DEVICE
  const mtime = records.get('mtime')
  return {
    ordinal,
    path,
    type,
    mode: numberOf(block, 'mode') & 0o7777,
    uid: checkId('uid', numberRecord(records, 'uid') ?? numberOf(block, 'uid')),
    gid: checkId('gid', numberRecord(records, 'gid') ?? numberOf(block, 'gid')),
    mtimeSeconds: mtime?.length ? wholeSeconds('mtime', mtime) : numberOf(block, 'mtime'),
    sizeBytes: type === 'file' ? storedSize(headers) : 0,
    linkTarget: isLink ? (longLink ?? textRecord(records, 'linkpath') ?? linkNameOf(block)) : '',
    deviceMajor: device.major,
    deviceMinor: device.minor,
    xattrs: records.size === 0 ? null : xattrsOf(records),
  }
}

function entryType(flag: string, path: ByteString): TarEntryType {
  if (flag === '\0' && path.endsWith('/')) return 'directory'
  const type = ENTRY_TYPES[flag]
  if (type !== undefined) return type
  throw new TarFormatError(`its type ${JSON.stringify(flag)} is not one that a layer may hold`)
}

function textRecord(records: EntryHeaders['records'], key: string): ByteString | undefined {
  const value = records.get(key)
  return value?.length ? value.toString('latin1') : undefined
}

function numberRecord(records: EntryHeaders['records'], key: string): number | undefined {
  const value = records.get(key)
  return value?.length ? decimal(key, value) : undefined
}

/** Linux ids are 32 bits, and the last one means "no id". Throws `TarFormatError`. */
function checkId(name: string, id: number): number {
  if (id < 0 || id > MAX_ID) throw new TarFormatError(`its ${name} ${id} is not a user or group id`)
  return id
}
