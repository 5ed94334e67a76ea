// A tar writer for tests: makes exactly the members asked for, well-formed or not. Real archives in the tests come from
// GNU tar, bsdtar and Python; this one makes what they refuse to write.

import type { ByteString } from '../byte-string.ts'

export interface TarMember {
  readonly path: ByteString
  /** The type flag; a file if left out. */
  readonly flag?: string
  readonly content?: Buffer | string
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
  /** May be negative or fractional. */
  readonly mtime?: number
  readonly link?: ByteString
  readonly major?: number
  readonly minor?: number
  readonly xattrs?: Readonly<Record<string, Buffer | string>>
  /** More PAX records, or other values for those that are written anyhow. */
  readonly pax?: Readonly<Record<string, Buffer | string>>
  /** Overrides the size in the header. */
  readonly sizeField?: number
}

const BLOCK = 512

export const file = (
  path: ByteString,
  content: Buffer | string = '',
  more: Partial<TarMember> = {},
): TarMember => ({
  path,
  content,
  ...more,
})
export const directory = (path: ByteString, more: Partial<TarMember> = {}): TarMember => ({
  path,
  flag: '5',
  mode: 0o755,
  ...more,
})
export const symlink = (path: ByteString, link: ByteString, more: Partial<TarMember> = {}): TarMember => ({
  path,
  flag: '2',
  link,
  mode: 0o777,
  ...more,
})
export const hardlink = (path: ByteString, link: ByteString, more: Partial<TarMember> = {}): TarMember => ({
  path,
  flag: '1',
  link,
  ...more,
})

/** The members as a tar archive, with the two zero blocks at its end. */
export function tarOf(members: readonly TarMember[]): Buffer {
  return Buffer.concat([...members.map(memberBytes), Buffer.alloc(2 * BLOCK)])
}

/** One member: its PAX header where needed, its header and its content. */
export function memberBytes(member: TarMember): Buffer {
  const records = paxRecords(member)
  const content = Buffer.from(member.content ?? '')
  const header = headerBlock(member, member.sizeField ?? content.length)
  const pax = records.length === 0 ? [] : [metadataMember('x', Buffer.concat(records))]
  return Buffer.concat([...pax, header, padded(content)])
}

/** A member of type `x`, `g`, `L` or `K`. */
export function metadataMember(flag: string, content: Buffer): Buffer {
  return Buffer.concat([headerBlock({ path: './PaxHeaders/x', flag }, content.length), padded(content)])
}

/** One PAX record, whose length counts itself. */
export function paxRecord(key: ByteString, value: Buffer | string): Buffer {
  const body = Buffer.concat([Buffer.from(` ${key}=`, 'latin1'), Buffer.from(value), Buffer.from('\n')])
  let length = body.length + 1
  while (String(length).length + body.length !== length) length = String(length).length + body.length
  return Buffer.concat([Buffer.from(String(length)), body])
}

function paxRecords(member: TarMember): Buffer[] {
  const records = new Map<string, Buffer | string>()
  if (member.path.length > 100) records.set('path', Buffer.from(member.path, 'latin1'))
  if ((member.link?.length ?? 0) > 100) records.set('linkpath', Buffer.from(member.link ?? '', 'latin1'))
  if ((member.uid ?? 0) > 0o7777777) records.set('uid', String(member.uid))
  if ((member.gid ?? 0) > 0o7777777) records.set('gid', String(member.gid))
  if (!isPlainTime(member.mtime ?? 0)) records.set('mtime', String(member.mtime))
  for (const [name, value] of Object.entries(member.xattrs ?? {})) records.set(`SCHILY.xattr.${name}`, value)
  for (const [key, value] of Object.entries(member.pax ?? {})) records.set(key, value)
  return [...records].map(([key, value]) => paxRecord(key, value))
}

function isPlainTime(mtime: number): boolean {
  return Number.isInteger(mtime) && mtime >= 0 && mtime < 8 ** 11
}

function headerBlock(member: TarMember, sizeBytes: number): Buffer {
  const block = Buffer.alloc(BLOCK)
  const octal = (value: number, offset: number, length: number): void => {
    block.write(value.toString(8).padStart(length - 1, '0'), offset, 'latin1')
  }
  block.write(member.path.slice(0, 100), 0, 'latin1')
  octal(member.mode ?? 0o644, 100, 8)
  octal(Math.min(member.uid ?? 0, 0o7777777), 108, 8)
  octal(Math.min(member.gid ?? 0, 0o7777777), 116, 8)
  octal(sizeBytes, 124, 12)
  octal(isPlainTime(member.mtime ?? 0) ? (member.mtime ?? 0) : 0, 136, 12)
  block.write(member.flag ?? '0', 156, 'latin1')
  block.write((member.link ?? '').slice(0, 100), 157, 'latin1')
  block.write('ustar\x0000', 257, 'latin1')
  octal(member.major ?? 0, 329, 8)
  octal(member.minor ?? 0, 337, 8)
  return withChecksum(block)
}

/** Fills in the checksum of a header block. */
export function withChecksum(block: Buffer): Buffer {
  block.fill(0x20, 148, 156)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return block
}

function padded(content: Buffer): Buffer {
  return Buffer.concat([content, Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK)])
}
