// The host's side of frames, as docs/contracts/channel.md has them: only what these tests need.

export const frameTypes = {
  hello: 1,
  data: 2,
  credit: 3,
  end: 4,
  ready: 16,
  started: 17,
  'exec-failed': 18,
  exited: 19,
  failed: 20,
  resize: 32,
  signal: 33,
  shutdown: 34,
} as const

export type FrameName = keyof typeof frameTypes

export interface Frame {
  readonly name: FrameName
  readonly stream: number
  readonly payload: Buffer
  /** The whole frame, header and padding included. */
  readonly bytes: Buffer
}

export const headerBytes = 16
export const limitBytes = 16384

/** The bytes a frame takes in the ring. */
export function frameSize(payloadLength: number): number {
  return headerBytes + ((payloadLength + 7) & ~7)
}

export function writeFrame(type: number, stream: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.alloc(frameSize(payload.length))
  bytes.writeUInt32LE(payload.length, 0)
  bytes.writeUInt16LE(type, 4)
  bytes.writeUInt32LE(stream, 8)
  bytes.set(payload, headerBytes)
  return bytes
}

export function nameOf(type: number): FrameName {
  for (const [name, number] of Object.entries(frameTypes)) if (number === type) return name as FrameName
  throw new Error(`The guest sent a frame of the unknown type ${type}`)
}

export function words(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4)
  values.forEach((value, index) => {
    bytes.writeUInt32LE(value >>> 0, index * 4)
  })
  return bytes
}

export function long(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}

export interface StreamState {
  readonly stream: number
  readonly direction: number
  readonly offset: number
  readonly limit: number
  readonly ended: boolean
}

export function readHello(payload: Buffer): { epoch: number; streams: StreamState[] } {
  const streams: StreamState[] = []
  for (let at = 16; at < payload.length; at += 40)
    streams.push({
      stream: payload.readUInt32LE(at),
      direction: payload.readUInt32LE(at + 4),
      offset: Number(payload.readBigUInt64LE(at + 8)),
      limit: Number(payload.readBigUInt64LE(at + 16)),
      ended: payload.readUInt32LE(at + 24) === 1,
    })
  return { epoch: payload.readUInt32LE(4), streams }
}
