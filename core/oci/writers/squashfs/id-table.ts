// Users and groups share one table of 32-bit ids; inodes hold 16-bit positions in it.

import { OciError } from '../../errors.ts'

const ID_LIMIT = 0xffff

export class IdTable {
  readonly #positions = new Map<number, number>()

  /** The position of an id. Throws `oci.limit` when the image has more ids than squashfs can hold. */
  positionOf(id: number): number {
    const known = this.#positions.get(id)
    if (known !== undefined) return known
    const position = this.#positions.size
    if (position >= ID_LIMIT)
      throw new OciError(
        'oci.limit',
        `Cannot write the image: its files belong to more than ${ID_LIMIT} users and groups`,
        { data: { which: 'squashfsIds' } },
      )
    this.#positions.set(id, position)
    return position
  }

  get count(): number {
    return this.#positions.size
  }

  table(): Buffer {
    const bytes = Buffer.alloc(4 * this.#positions.size)
    for (const [id, position] of this.#positions) bytes.writeUInt32LE(id, 4 * position)
    return bytes
  }
}
