// Writes the tar archives that images are saved as: ustar (POSIX.1-1988), with a pax header (POSIX.1-2001) where a name or
// a size does not fit. Nothing of this machine or of the time is in them, so that the same images make the same bytes.

export interface TarMember {
  /** A folder's ends in a slash. */
  readonly name: string
  readonly sizeBytes: number
}

export const TAR_BLOCK_BYTES = 512
/** Two blocks of zeros end an archive. */
export const TAR_END = Buffer.alloc(2 * TAR_BLOCK_BYTES)

const NAME_BYTES = 100
/** The largest number in eleven octal digits. */
const MAX_SIZE_BYTES = 8 ** 11 - 1

/** What stands before a member's content: one block, or three where its name or size is too long for one. */
export function tarHeader({ name, sizeBytes }: TarMember): Buffer {
  const isFolder = name.endsWith('/')
  const extended: [string, string][] = []
  if (Buffer.byteLength(name) > NAME_BYTES) extended.push(['path', name])
  if (sizeBytes > MAX_SIZE_BYTES) extended.push(['size', String(sizeBytes)])
  const header = ustarHeader({
    name: name.slice(-NAME_BYTES),
    sizeBytes: Math.min(sizeBytes, MAX_SIZE_BYTES),
    mode: isFolder ? 0o755 : 0o644,
    type: isFolder ? '5' : '0',
  })
  if (extended.length === 0) return header
  const records = Buffer.from(extended.map(([key, value]) => paxRecord(key, value)).join(''))
  const paxHeader = ustarHeader({ name: 'pax', sizeBytes: records.length, mode: 0o644, type: 'x' })
  return Buffer.concat([paxHeader, records, tarPadding(records.length), header])
}

/** What stands behind a member's content, up to the next whole block. */
export function tarPadding(sizeBytes: number): Buffer {
  return Buffer.alloc((TAR_BLOCK_BYTES - (sizeBytes % TAR_BLOCK_BYTES)) % TAR_BLOCK_BYTES)
}

/** Bytes of a whole archive of these members. */
export function tarSize(members: readonly TarMember[]): number {
  return members.reduce(
    (sum, member) => sum + tarHeader(member).length + member.sizeBytes + tarPadding(member.sizeBytes).length,
    TAR_END.length,
  )
}

/** Offset and length of each field that we fill in. tar.h, POSIX.1-1988 §10.1.1. */
const FIELDS = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  magic: [257, 8],
} as const

function ustarHeader(fields: { name: string; sizeBytes: number; mode: number; type: string }): Buffer {
  const block = Buffer.alloc(TAR_BLOCK_BYTES)
  const put = (field: keyof typeof FIELDS, text: string) => block.write(text, FIELDS[field][0])
  const putNumber = (field: keyof typeof FIELDS, value: number) =>
    put(field, value.toString(8).padStart(FIELDS[field][1] - 1, '0'))
  put('name', fields.name)
  putNumber('mode', fields.mode)
  putNumber('uid', 0)
  putNumber('gid', 0)
  putNumber('size', fields.sizeBytes)
  putNumber('mtime', 0)
  put('type', fields.type)
  put('magic', 'ustar\u000000')
  // Summed with the field itself as blanks.
  put('checksum', ' '.repeat(FIELDS.checksum[1]))
  const checksum = block.reduce((sum, byte) => sum + byte, 0)
  put('checksum', `${checksum.toString(8).padStart(6, '0')}\0 `)
  return block
}

/** `LENGTH KEY=VALUE\n`, where the length counts itself. */
function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`
  const restBytes = Buffer.byteLength(rest)
  let length = restBytes + 1
  while (String(length).length + restBytes !== length) length = String(length).length + restBytes
  return `${length}${rest}`
}
