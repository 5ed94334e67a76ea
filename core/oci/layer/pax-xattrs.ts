// Extended attributes out of PAX records. Two spellings are in use: SCHILY.xattr.NAME with the raw value (star, GNU tar,
// Docker, bsdtar) and LIBARCHIVE.xattr.NAME with the name URL-encoded and the value in base64 (bsdtar).

import type { ByteString } from './byte-string.ts'
import type { ExtendedAttributes } from './tar-entry.ts'
import { TarFormatError, TarLimitError } from './tar-header.ts'
import { TAR_LIMITS } from './tar-limits.ts'

const SCHILY = 'SCHILY.xattr.'
const LIBARCHIVE = 'LIBARCHIVE.xattr.'

/** The attributes named by the records, or null where there are none. Values are copied. Throws `TarFormatError`. */
export function xattrsOf(records: ReadonlyMap<ByteString, Buffer>): ExtendedAttributes | null {
  let xattrs: Map<ByteString, Buffer> | null = null
  for (const [key, value] of records) {
    const attribute = parseAttribute(key, value)
    if (attribute === null) continue
    const { name, bytes } = attribute
    if (name === '' || name.length > TAR_LIMITS.xattrNameBytes || name.includes('\0'))
      throw new TarFormatError('an extended attribute has a name that Linux does not allow')
    if (bytes.length > TAR_LIMITS.xattrValueBytes)
      throw new TarLimitError(
        'xattrValueBytes',
        `its extended attribute ${JSON.stringify(name)} is too large`,
      )
    xattrs ??= new Map()
    // bsdtar writes both spellings; the raw one cannot have been mangled on the way.
    if (!xattrs.has(name) || key.startsWith(SCHILY)) xattrs.set(name, bytes)
  }
  return xattrs
}

function parseAttribute(key: ByteString, value: Buffer): { name: ByteString; bytes: Buffer } | null {
  if (key.startsWith(SCHILY)) return { name: key.slice(SCHILY.length), bytes: Buffer.from(value) }
  if (!key.startsWith(LIBARCHIVE)) return null
  const text = value.toString('latin1')
  if (!/^[A-Za-z0-9+/]*={0,2}\s*$/.test(text))
    throw new TarFormatError(`its PAX record ${JSON.stringify(key)} is not base64`)
  return { name: decodePercents(key.slice(LIBARCHIVE.length)), bytes: Buffer.from(text, 'base64') }
}

function decodePercents(text: ByteString): ByteString {
  return text.replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}
