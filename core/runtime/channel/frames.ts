// What the frames of the control channel mean: payloads to messages and back. docs/contracts/channel.md.
// Everything from a guest is hostile: each payload is checked for its size before anything is read from it.
import { type Frame, MAX_FRAME_PAYLOAD_BYTES } from '../../xen/ring/frame.ts'
import { GuestError } from '../errors.ts'

export type { Frame } from '../../xen/ring/frame.ts'

/** Bytes of a stream that fit into one `data` frame, behind the offset. */
export const maxDataBytes = MAX_FRAME_PAYLOAD_BYTES - 8
/** Bytes that a stream may send before the first `credit`. */
export const firstLimitBytes = 65536
export const stdinStream = 1
export const stdoutStream = 2
export const stderrStream = 3
/** Streams that a guest may have, which bounds what it can make dom0 hold. */
export const maxStreams = 64

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

export interface HelloStream {
  readonly stream: number
  /** 0 = guest to dom0, 1 = dom0 to guest. */
  readonly direction: number
  readonly offset: number
  readonly limit: number
  readonly ended: boolean
}

export type GuestMessage =
  | {
      readonly type: 'hello'
      readonly version: number
      readonly epoch: number
      readonly streams: readonly HelloStream[]
    }
  | { readonly type: 'data'; readonly stream: number; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly type: 'credit'; readonly stream: number; readonly limit: number }
  | { readonly type: 'end'; readonly stream: number; readonly offset: number }
  | { readonly type: 'ready'; readonly bootTimeNs: number; readonly rootMounted: boolean }
  | { readonly type: 'started'; readonly pid: number }
  | { readonly type: 'exec-failed'; readonly errno: number; readonly text: string }
  | {
      readonly type: 'exited'
      readonly kind: 'status' | 'signal'
      readonly value: number
      readonly coreDumped: boolean
    }
  | { readonly type: 'failed'; readonly errno: number; readonly step: string; readonly text: string }

const helloStreamBytes = 40

/** What a frame from a guest says; throws `guest.channel-protocol` with the reason where it says nothing valid. */
export function decodeGuestFrame(frame: Frame): GuestMessage {
  const { payload, stream } = frame
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength)
  switch (frame.type) {
    case frameTypes.hello:
      return decodeHello(view)
    case frameTypes.data:
      if (payload.length < 9) throw wrong('a data frame without data')
      return { type: 'data', stream, offset: u64(view, 0, 'offset'), bytes: payload.subarray(8) }
    case frameTypes.credit:
      exactly(payload, 8, 'credit')
      return { type: 'credit', stream, limit: u64(view, 0, 'limit') }
    case frameTypes.end:
      exactly(payload, 8, 'end')
      return { type: 'end', stream, offset: u64(view, 0, 'length') }
    case frameTypes.ready:
      exactly(payload, 12, 'ready')
      return {
        type: 'ready',
        bootTimeNs: u64(view, 0, 'boot time'),
        rootMounted: view.getUint32(8, true) !== 0,
      }
    case frameTypes.started:
      exactly(payload, 8, 'started')
      return { type: 'started', pid: view.getUint32(0, true) }
    case frameTypes['exec-failed']:
      atLeast(payload, 8, 'exec-failed')
      return { type: 'exec-failed', errno: view.getInt32(0, true), text: text(payload.subarray(8)) }
    case frameTypes.exited: {
      exactly(payload, 16, 'exited')
      const kind = view.getUint32(0, true)
      if (kind > 1) throw wrong(`an exit of the unknown kind ${kind}`)
      return {
        type: 'exited',
        kind: kind === 0 ? 'status' : 'signal',
        value: view.getInt32(4, true),
        coreDumped: view.getUint32(8, true) !== 0,
      }
    }
    case frameTypes.failed: {
      atLeast(payload, 8, 'failed')
      const stepEnd = 8 + view.getUint32(4, true)
      if (stepEnd > payload.length) throw wrong("a failure whose step's name is longer than its frame")
      return {
        type: 'failed',
        errno: view.getInt32(0, true),
        step: text(payload.subarray(8, stepEnd)),
        text: text(payload.subarray(stepEnd)),
      }
    }
    default:
      throw wrong(`a frame of the unknown type ${frame.type}`)
  }
}

function decodeHello(view: DataView): GuestMessage {
  if (view.byteLength < 16) throw wrong('a hello that is too short')
  const count = view.getUint32(12, true)
  if (count > maxStreams || view.byteLength !== 16 + count * helloStreamBytes)
    throw wrong(`a hello that counts ${count} streams in ${view.byteLength} bytes`)
  const streams: HelloStream[] = []
  for (let at = 16; at < view.byteLength; at += helloStreamBytes) {
    streams.push({
      stream: view.getUint32(at, true),
      direction: view.getUint32(at + 4, true),
      offset: u64(view, at + 8, 'offset'),
      limit: u64(view, at + 16, 'limit'),
      ended: view.getUint32(at + 24, true) !== 0,
    })
  }
  return { type: 'hello', version: view.getUint32(0, true), epoch: view.getUint32(4, true), streams }
}

export function helloFrame(epoch: number): Frame {
  const payload = new Uint8Array(16)
  const view = new DataView(payload.buffer)
  view.setUint32(0, 1, true)
  view.setUint32(4, epoch, true)
  return frame(frameTypes.hello, 0, payload)
}

/** `bytes` are copied; at most 16376 of them. */
export function dataFrame(stream: number, offset: number, bytes: Uint8Array): Frame {
  const payload = new Uint8Array(8 + bytes.length)
  new DataView(payload.buffer).setBigUint64(0, BigInt(offset), true)
  payload.set(bytes, 8)
  return frame(frameTypes.data, stream, payload)
}

export function creditFrame(stream: number, limit: number): Frame {
  return frame(frameTypes.credit, stream, u64Payload(limit))
}

export function endFrame(stream: number, offset: number): Frame {
  return frame(frameTypes.end, stream, u64Payload(offset))
}

export function resizeFrame(rows: number, columns: number): Frame {
  const payload = new Uint8Array(8)
  const view = new DataView(payload.buffer)
  view.setUint16(0, rows, true)
  view.setUint16(2, columns, true)
  return frame(frameTypes.resize, 0, payload)
}

export function signalFrame(signal: number, group: boolean): Frame {
  const payload = new Uint8Array(8)
  const view = new DataView(payload.buffer)
  view.setInt32(0, signal, true)
  view.setUint32(4, group ? 1 : 0, true)
  return frame(frameTypes.signal, 0, payload)
}

export function shutdownFrame(): Frame {
  return frame(frameTypes.shutdown, 0, new Uint8Array(8))
}

function frame(type: number, stream: number, payload: Uint8Array): Frame {
  return { type, stream, container: 0, payload }
}

function u64Payload(value: number): Uint8Array {
  const payload = new Uint8Array(8)
  new DataView(payload.buffer).setBigUint64(0, BigInt(value), true)
  return payload
}

function u64(view: DataView, at: number, what: string): number {
  const value = view.getBigUint64(at, true)
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw wrong(`the impossible ${what} ${value}`)
  return Number(value)
}

function exactly(payload: Uint8Array, length: number, what: string): void {
  if (payload.length !== length)
    throw wrong(`${payload.length} bytes in a frame "${what}", which has ${length}`)
}

function atLeast(payload: Uint8Array, length: number, what: string): void {
  if (payload.length < length)
    throw wrong(`${payload.length} bytes in a frame "${what}", which has at least ${length}`)
}

/** Text from a guest, for people: control characters would reach their terminal. */
function text(bytes: Uint8Array): string {
  return Buffer.from(bytes)
    .toString('utf8')
    .replace(/\p{Cc}/gu, '\ufffd')
    .slice(0, 1000)
}

function wrong(what: string): GuestError {
  return new GuestError(
    'guest.channel-protocol',
    `Cannot go on with the guest's control channel: the guest sent ${what}`,
  )
}
