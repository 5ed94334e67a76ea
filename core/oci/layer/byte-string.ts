// Names in layers are bytes, not text: Linux allows every byte but "/" and NUL, and old images hold Latin-1 or broken
// UTF-8. They are kept as strings with one character per byte (latin1), so that nothing is lost and Map lookups work.

/** Bytes as a string: each character is one byte, 0–255. */
export type ByteString = string

/** The bytes of a byte string. */
export function bytesOf(text: ByteString): Buffer {
  return Buffer.from(text, 'latin1')
}

/** A byte string as a quoted text for people: read as UTF-8, control characters escaped, long ones shortened. */
export function quoted(text: ByteString): string {
  const readable = bytesOf(text.length > 512 ? `${text.slice(0, 509)}...` : text).toString('utf8')
  return JSON.stringify(readable)
}
