// The codec on Node's side of the wire.
import { createCloneCodec } from './clone-codec.ts'

export const codec = createCloneCodec({
  encode: (bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64'),
  // A copy with an ArrayBuffer of its own: small Buffers share a pool.
  decode: (text) => new Uint8Array(Buffer.from(text, 'base64')),
})
