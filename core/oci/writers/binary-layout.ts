// Little-endian structures declared once, as a list of fields in the order in which they stand on the disk, and encoded
// and decoded from that list.

export type FieldType = 'u8' | 'u16' | 'i16' | 'u32' | 'u64' | 'i64'

const FIELD_BYTES: Readonly<Record<FieldType, number>> = { u8: 1, u16: 2, i16: 2, u32: 4, u64: 8, i64: 8 }
const TWO_TO_32 = 2 ** 32
const MAX_32 = TWO_TO_32 - 1

/** Stands for 2^64-1 in a `u64` field, "there is none" in squashfs. */
export const NONE_64 = -1

export interface BinaryLayout<Name extends string> {
  readonly sizeBytes: number
  /** Values by field name; 64-bit ones up to 2^53-1, in `u64` also `NONE_64`. `extraBytes` of room follow the structure. */
  encode(values: Readonly<Record<Name, number>>, extraBytes?: number): Buffer
  /** Encodes into bytes that are there; returns where the structure ends. */
  encodeInto(bytes: Buffer, offset: number, values: Readonly<Record<Name, number>>): number
  decode(bytes: Buffer, offset?: number): Record<Name, number>
}

/** Declares a structure without padding between its fields. */
export function binaryLayout<const Name extends string>(
  fields: Readonly<Record<Name, FieldType>>,
): BinaryLayout<Name> {
  const list = Object.entries<FieldType>(fields) as [Name, FieldType][]
  const sizeBytes = list.reduce((sum, [, type]) => sum + FIELD_BYTES[type], 0)
  return {
    sizeBytes,
    encode(values, extraBytes = 0) {
      const bytes = Buffer.alloc(sizeBytes + extraBytes)
      this.encodeInto(bytes, 0, values)
      return bytes
    },
    encodeInto(bytes, offset, values) {
      let end = offset
      for (const [name, type] of list) end = writeField(bytes, end, type, values[name])
      return end
    },
    decode(bytes, offset = 0) {
      const values = {} as Record<Name, number>
      for (const [name, type] of list) {
        values[name] = readField(bytes, offset, type)
        offset += FIELD_BYTES[type]
      }
      return values
    },
  }
}

function writeField(bytes: Buffer, offset: number, type: FieldType, value: number): number {
  switch (type) {
    case 'u8':
      return bytes.writeUInt8(value, offset)
    case 'u16':
      return bytes.writeUInt16LE(value, offset)
    case 'i16':
      return bytes.writeInt16LE(value, offset)
    case 'u32':
      return bytes.writeUInt32LE(value, offset)
    case 'u64':
      bytes.writeUInt32LE(value === NONE_64 ? MAX_32 : value % TWO_TO_32, offset)
      return bytes.writeUInt32LE(value === NONE_64 ? MAX_32 : Math.floor(value / TWO_TO_32), offset + 4)
    case 'i64':
      return bytes.writeBigInt64LE(BigInt(value), offset)
  }
}

function readField(bytes: Buffer, offset: number, type: FieldType): number {
  switch (type) {
    case 'u8':
      return bytes.readUInt8(offset)
    case 'u16':
      return bytes.readUInt16LE(offset)
    case 'i16':
      return bytes.readInt16LE(offset)
    case 'u32':
      return bytes.readUInt32LE(offset)
    case 'u64': {
      const high = bytes.readUInt32LE(offset + 4)
      const low = bytes.readUInt32LE(offset)
      return high === MAX_32 && low === MAX_32 ? NONE_64 : high * TWO_TO_32 + low
    }
    case 'i64':
      return Number(bytes.readBigInt64LE(offset))
  }
}
