// Binary structures declared once, as a table of field, offset and type beside the reference they come from,
// with typed accessors over a DataView. Little-endian: Xen and Linux on x86-64.
//
//   const evtchnStatus = structLayout('struct evtchn_status', 24, { domain: u16(0), port: u32(4) })
//   const status = evtchnStatus.at(view); status.port = 3

type FieldType = 'u8' | 'u16' | 'u32' | 'i16' | 'i32' | 'u64' | 'size' | 'bytes'

interface Field<Type extends FieldType> {
  readonly type: Type
  readonly offset: number
  readonly sizeBytes: number
}

type Fields = Readonly<Record<string, Field<FieldType>>>

type Value<F> = F extends Field<'u64'> ? bigint : F extends Field<'bytes'> ? Uint8Array<ArrayBuffer> : number

/** A structure in memory: reading a property reads the memory, assigning one writes it. */
export type Struct<F extends Fields> = { -readonly [Name in keyof F]: Value<F[Name]> }

export interface StructLayout<F extends Fields> {
  readonly name: string
  readonly sizeBytes: number
  readonly fields: F
  /** The structure at `offset` of `view`. Throws RangeError when it does not fit. */
  at(view: DataView<ArrayBuffer>, offset?: number): Struct<F>
  /** A zeroed structure in memory of its own, with its bytes. */
  create(): { readonly struct: Struct<F>; readonly bytes: Uint8Array<ArrayBuffer> }
}

export const u8 = (offset: number): Field<'u8'> => ({ type: 'u8', offset, sizeBytes: 1 })
export const u16 = (offset: number): Field<'u16'> => ({ type: 'u16', offset, sizeBytes: 2 })
export const u32 = (offset: number): Field<'u32'> => ({ type: 'u32', offset, sizeBytes: 4 })
export const i16 = (offset: number): Field<'i16'> => ({ type: 'i16', offset, sizeBytes: 2 })
export const i32 = (offset: number): Field<'i32'> => ({ type: 'i32', offset, sizeBytes: 4 })
/** 64 bits, as a bigint. */
export const u64 = (offset: number): Field<'u64'> => ({ type: 'u64', offset, sizeBytes: 8 })
/** 64 bits that hold an address, a size or a count: a number; a value beyond 2^53 throws. */
export const size = (offset: number): Field<'size'> => ({ type: 'size', offset, sizeBytes: 8 })
/** A byte array. Reading gives a view of the memory; assigning copies (shorter values are zero-padded). */
export const bytes = (offset: number, sizeBytes: number): Field<'bytes'> => ({
  type: 'bytes',
  offset,
  sizeBytes,
})

/** Declares a structure. `name` is that of its C type. Throws when a field reaches beyond `sizeBytes`. */
export function structLayout<const F extends Fields>(
  name: string,
  sizeBytes: number,
  fields: F,
): StructLayout<F> {
  class Accessor {
    readonly view: DataView<ArrayBuffer>
    readonly base: number
    constructor(view: DataView<ArrayBuffer>, base: number) {
      this.view = view
      this.base = base
    }
  }
  for (const [field, { type, offset, sizeBytes: fieldSize }] of Object.entries(fields)) {
    if (offset < 0 || offset + fieldSize > sizeBytes) {
      throw new RangeError(
        `Field ${field} of ${name} ends at ${offset + fieldSize}, beyond its ${sizeBytes} bytes`,
      )
    }
    const { read, write } = accessors[type]
    Object.defineProperty(Accessor.prototype, field, {
      enumerable: true,
      get(this: Accessor) {
        return read(this.view, this.base + offset, fieldSize)
      },
      set(this: Accessor, value: never) {
        write(this.view, this.base + offset, value, fieldSize)
      },
    })
  }
  const at = (view: DataView<ArrayBuffer>, offset = 0): Struct<F> => {
    if (offset < 0 || offset + sizeBytes > view.byteLength) {
      throw new RangeError(
        `${name} (${sizeBytes} bytes) does not fit at ${offset} of ${view.byteLength} bytes`,
      )
    }
    return new Accessor(view, offset) as unknown as Struct<F>
  }
  return {
    name,
    sizeBytes,
    fields,
    at,
    create() {
      const memory = new Uint8Array(sizeBytes)
      return { struct: at(new DataView(memory.buffer)), bytes: memory }
    },
  }
}

interface Accessors {
  read(view: DataView<ArrayBuffer>, offset: number, sizeBytes: number): unknown
  write(view: DataView<ArrayBuffer>, offset: number, value: never, sizeBytes: number): void
}

const accessors: Readonly<Record<FieldType, Accessors>> = {
  u8: {
    read: (view, offset) => view.getUint8(offset),
    write: (view, offset, value: number) => view.setUint8(offset, value),
  },
  u16: {
    read: (view, offset) => view.getUint16(offset, true),
    write: (view, offset, value: number) => view.setUint16(offset, value, true),
  },
  u32: {
    read: (view, offset) => view.getUint32(offset, true),
    write: (view, offset, value: number) => view.setUint32(offset, value, true),
  },
  i16: {
    read: (view, offset) => view.getInt16(offset, true),
    write: (view, offset, value: number) => view.setInt16(offset, value, true),
  },
  i32: {
    read: (view, offset) => view.getInt32(offset, true),
    write: (view, offset, value: number) => view.setInt32(offset, value, true),
  },
  u64: {
    read: (view, offset) => view.getBigUint64(offset, true),
    write: (view, offset, value: bigint) => view.setBigUint64(offset, value, true),
  },
  size: {
    read: (view, offset) => safeInteger(view.getBigUint64(offset, true)),
    write: (view, offset, value: number) => view.setBigUint64(offset, BigInt(value), true),
  },
  bytes: {
    read: (view, offset, sizeBytes) => new Uint8Array(view.buffer, view.byteOffset + offset, sizeBytes),
    write: (view, offset, value: Uint8Array, sizeBytes) => {
      if (value.length > sizeBytes) throw new RangeError(`${value.length} bytes do not fit in ${sizeBytes}`)
      const target = new Uint8Array(view.buffer, view.byteOffset + offset, sizeBytes)
      target.set(value)
      target.fill(0, value.length)
    },
  },
}

function safeInteger(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new RangeError(`${value} is beyond 2^53`)
  return Number(value)
}
