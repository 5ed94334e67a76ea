// Extended attributes: most stand behind their inode; what several inodes have, and what is large, stands once in an
// area of its own, and the inode has its number. The format knows a few namespaces; an attribute of another one is left
// out, and so is an access control list where Linux would not take it.

import type { Breather } from '../../breather.ts'
import { OciError } from '../../errors.ts'
import { type ByteString, bytesOf } from '../../layer/byte-string.ts'
import type { TreeNode } from '../../merge/tree.ts'
import { alignUp, XATTR_ENTRY, XATTR_HEADER, XATTR_UNIT_BYTES } from './format.ts'

/** EROFS_XATTR_INDEX_* */
const PREFIXES: readonly (readonly [prefix: ByteString, index: number])[] = [
  ['user.', 1],
  ['trusted.', 4],
  ['lustre.', 5],
  ['security.', 6],
]
/** These are whole names: nothing follows the prefix. */
const ACL_ACCESS = { name: 'system.posix_acl_access', index: 2 }
const ACL_DEFAULT = { name: 'system.posix_acl_default', index: 3 }

/** Larger attributes would make inodes rare in their blocks. */
const LARGE_BYTES = 1024
/** `sharedCount` of the header is one byte. */
const SHARED_LIMIT = 255
const VALUE_BYTES_LIMIT = 0xffff
const UNITS_LIMIT = 0xffff

/** How an inode refers to an attribute. */
const REFERENCE_BYTES = 4

export class XattrStore {
  /** The numbers of the attributes that stand apart, by their bytes on the disk. */
  readonly #shared = new Map<ByteString, number>()
  /** The attributes that stand apart, as they go onto the disk. */
  readonly sharedArea: Buffer

  /** `uses` says how many inodes have an attribute, by its bytes on the disk. */
  private constructor(uses: ReadonlyMap<ByteString, number>) {
    const area: Buffer[] = []
    let areaBytes = 0
    for (const [attribute, count] of uses) {
      const costApart = attribute.length + count * REFERENCE_BYTES
      if (attribute.length < LARGE_BYTES && costApart >= count * attribute.length) continue
      this.#shared.set(attribute, areaBytes / XATTR_UNIT_BYTES)
      area.push(bytesOf(attribute))
      areaBytes += attribute.length
    }
    this.sharedArea = Buffer.concat(area)
  }

  /** Decides which attributes stand apart. Throws `oci.cancelled`, or `oci.limit` when one is too large for the format. */
  static async collect(nodes: Iterable<TreeNode>, breather: Breather): Promise<XattrStore> {
    const uses = new Map<ByteString, number>()
    for (const node of nodes) {
      if (breather.isDue()) await breather.breathe()
      for (const attribute of attributesOf(node)) uses.set(attribute, (uses.get(attribute) ?? 0) + 1)
    }
    return new XattrStore(uses)
  }

  /** What stands behind the inode of a node: nothing, or a header, numbers and attributes. Throws `oci.limit`. */
  bodyOf(node: TreeNode): Buffer {
    const attributes = attributesOf(node)
    if (attributes.length === 0) return Buffer.alloc(0)
    const shared: number[] = []
    const own: ByteString[] = []
    for (const attribute of attributes) {
      const number = shared.length < SHARED_LIMIT ? this.#shared.get(attribute) : undefined
      if (number === undefined) own.push(attribute)
      else shared.push(number)
    }
    const ownBytes = bytesOf(own.join(''))
    const header = { nameFilter: 0, sharedCount: shared.length, reserved0: 0, reserved1: 0, reserved2: 0 }
    const body = XATTR_HEADER.encode(header, shared.length * REFERENCE_BYTES + ownBytes.length)
    let offset = XATTR_HEADER.sizeBytes
    for (const number of shared) offset = body.writeUInt32LE(number, offset)
    ownBytes.copy(body, offset)
    if (xattrUnits(body.length) > UNITS_LIMIT)
      throw tooLarge('the extended attributes of a file', body.length, UNITS_LIMIT * XATTR_UNIT_BYTES)
    return body
  }
}

/** How an inode counts what stands behind it: the header as one unit, then its units (erofs_xattr_ibody_size). */
export function xattrUnits(bodyBytes: number): number {
  return bodyBytes === 0 ? 0 : (bodyBytes - XATTR_HEADER.sizeBytes) / XATTR_UNIT_BYTES + 1
}

/** The attributes of a node that the format can hold, as they go onto the disk, in the order of their bytes. */
function attributesOf(node: TreeNode): ByteString[] {
  if (node.xattrs === null) return []
  return [...node.xattrs].flatMap(([name, value]) => encodeAttribute(node, name, value)).sort()
}

function encodeAttribute(node: TreeNode, fullName: ByteString, value: Buffer): ByteString[] {
  const place = placeOf(node, fullName, value)
  if (place === null) return []
  if (value.length > VALUE_BYTES_LIMIT)
    throw tooLarge(`the extended attribute ${JSON.stringify(fullName)}`, value.length, VALUE_BYTES_LIMIT)
  const { prefix, name } = place
  const usedBytes = XATTR_ENTRY.sizeBytes + name.length + value.length
  const entry = XATTR_ENTRY.encode(
    { nameBytes: name.length, prefix, valueBytes: value.length },
    alignUp(usedBytes, XATTR_UNIT_BYTES) - XATTR_ENTRY.sizeBytes,
  )
  entry.write(name, XATTR_ENTRY.sizeBytes, 'latin1')
  value.copy(entry, XATTR_ENTRY.sizeBytes + name.length)
  return [entry.toString('latin1')]
}

/** The index of the name's prefix and the rest of the name, or null when the format has no place for it. */
function placeOf(
  node: TreeNode,
  fullName: ByteString,
  value: Buffer,
): { readonly prefix: number; readonly name: ByteString } | null {
  if (fullName === ACL_ACCESS.name)
    return node.kind !== 'symlink' && isAcl(value) ? { prefix: ACL_ACCESS.index, name: '' } : null
  if (fullName === ACL_DEFAULT.name)
    return node.kind === 'directory' && isAcl(value) ? { prefix: ACL_DEFAULT.index, name: '' } : null
  const known = PREFIXES.find(([prefix]) => fullName.startsWith(prefix) && fullName.length > prefix.length)
  return known === undefined ? null : { prefix: known[1], name: fullName.slice(known[0].length) }
}

/** include/uapi/linux/posix_acl_xattr.h: a version, then entries of tag, permissions and id. */
function isAcl(value: Buffer): boolean {
  return value.length >= 12 && (value.length - 4) % 8 === 0 && value.readUInt32LE(0) === 2
}

function tooLarge(what: string, sizeBytes: number, limitBytes: number): OciError {
  return new OciError(
    'oci.limit',
    `Cannot write the image: ${what} takes ${sizeBytes} bytes, and EROFS holds ${limitBytes}`,
    { data: { which: 'xattrBytes' }, hint: 'Use a squashfs root image for this image.' },
  )
}
