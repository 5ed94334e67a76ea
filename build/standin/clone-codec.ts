// Structured clone as text: what Electron's IPC carries between processes, for a wire (the DevTools protocol)
// that carries strings only. The same source runs in Node and, with its types stripped, in the page.

/** How bytes become text; Node and the page each have a native way. */
export interface ByteText {
  encode(bytes: Uint8Array): string
  decode(text: string): Uint8Array
}

export interface CloneCodec {
  /** Text of `value`; throws `An object could not be cloned` where the structured clone algorithm would. */
  encode(value: unknown): string
  decode(text: string): unknown
}

/** Plain data goes as JSON; everything JSON has no word for goes as `{"$": tag, "v": value}`. */
export function createCloneCodec(bytesAsText: ByteText): CloneCodec {
  const refuse = (value: unknown): never => {
    throw new TypeError(`An object could not be cloned: ${typeof value}`)
  }

  function pack(value: unknown): unknown {
    switch (typeof value) {
      case 'undefined':
        return { $: 'undefined' }
      case 'bigint':
        return { $: 'bigint', v: value.toString() }
      case 'number':
        return Number.isFinite(value) && !Object.is(value, -0)
          ? value
          : { $: 'number', v: Object.is(value, -0) ? '-0' : String(value) }
      case 'function':
      case 'symbol':
        return refuse(value)
      case 'object':
        return value === null ? null : packObject(value)
      default:
        return value
    }
  }

  function packObject(value: object): unknown {
    if (Array.isArray(value)) return value.map(pack)
    if (value instanceof Uint8Array) return { $: 'bytes', v: bytesAsText.encode(value) }
    if (value instanceof ArrayBuffer) return { $: 'buffer', v: bytesAsText.encode(new Uint8Array(value)) }
    if (value instanceof Date) return { $: 'date', v: value.getTime() }
    if (value instanceof Map) return { $: 'map', v: [...value].map(pack) }
    if (value instanceof Set) return { $: 'set', v: [...value].map(pack) }
    if (value instanceof Error) return { $: 'error', v: { name: value.name, message: value.message } }
    if (value instanceof Promise || value instanceof WeakMap) return refuse(value)
    const entries = Object.entries(value).map(([key, item]) => [key, pack(item)] as const)
    const packed = Object.fromEntries(entries)
    return '$' in packed ? { $: 'object', v: packed } : packed
  }

  function unpack(value: unknown): unknown {
    if (typeof value !== 'object' || value === null) return value
    if (Array.isArray(value)) return value.map(unpack)
    if ('$' in value && 'v' in value) return unpackTagged(String(value.$), value.v)
    if ('$' in value) return undefined
    return unpackEntries(value)
  }

  function unpackEntries(value: object): unknown {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, unpack(item)]))
  }

  function unpackTagged(tag: string, value: unknown): unknown {
    switch (tag) {
      case 'bigint':
        return BigInt(value as string)
      case 'number':
        return value === '-0' ? -0 : Number(value)
      case 'bytes':
        return bytesAsText.decode(value as string)
      case 'buffer':
        return bytesAsText.decode(value as string).buffer
      case 'date':
        return new Date(value as number)
      case 'map':
        return new Map(unpack(value) as [unknown, unknown][])
      case 'set':
        return new Set(unpack(value) as unknown[])
      case 'error': {
        const { name, message } = value as { name: string; message: string }
        return Object.assign(new Error(message), { name })
      }
      default:
        return unpackEntries(value as object)
    }
  }

  return {
    encode: (value) => JSON.stringify(pack(value)),
    decode: (text) => unpack(JSON.parse(text)),
  }
}
