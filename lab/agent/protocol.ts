// What the lab daemon and the agent in dom0 say to each other. Two ways in:
// - the control port (virtio-serial, one JSON document a line), which only the owner of QEMU can reach;
// - TCP connections, one for each operation: a line `token HEX`, a line with the request, then frames both ways.
// A frame is: kind u8, payload length u32 little-endian, payload.

export const agentTcpPort = 7574
export const coreTcpPort = 7575
export const controlPortName = 'bulkhead.lab'

export const maxFrameBytes = 64 * 1024
const headerBytes = 5

/** The only kind of frame where datagrams are carried. */
export const datagramFrame = 0

/** Kinds of frames toward the agent. */
export const toAgent = { stdin: 0, stdinEnd: 1, signal: 2, resize: 3 } as const
/** Kinds of frames from the agent; `exit` and `failure` end the operation and carry JSON. */
export const fromAgent = { stdout: 0, stderr: 1, exit: 2, failure: 3 } as const

/** Everything that makes a restored machine this lab's own; sent once over the control port. */
export interface SettleRequest {
  readonly verb: 'settle'
  readonly token: string
  readonly timeMs: number
  readonly entropy: string
  readonly hostName: string
  /** The secret of the core host; left out when the snapshot has its disks mounted and its core host running. */
  readonly coreToken?: string
}

/** Lets go of the core disk, ending whatever runs from it, or mounts what is on it by now. */
export interface CoreDiskRequest {
  readonly verb: 'coreDisk'
  readonly action: 'mount' | 'unmount'
}

export type CoreAction = 'start' | 'stop' | 'restart' | 'kill' | 'status'

export interface CoreRequest {
  readonly verb: 'core'
  readonly action: CoreAction
  readonly signal?: string
}

export type ControlRequest =
  | SettleRequest
  | CoreRequest
  | CoreDiskRequest
  | { readonly verb: 'ping' }
  | { readonly verb: 'poweroff' }

export interface CoreStatus {
  readonly wanted: boolean
  readonly processId: number | null
  readonly starts: number
  /** How the last process ended, in words; null while the first one runs. */
  readonly lastEnd: string | null
}

/** Answers carry the request's id; unasked words of the agent have none. */
export type ControlAnswer =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: string }
  | { readonly event: 'ready' }
  | { readonly event: 'core'; readonly status: CoreStatus }

export interface TerminalSize {
  readonly rows: number
  readonly columns: number
}

export interface ExecRequest {
  readonly verb: 'exec'
  readonly argv: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** With it the program runs on a terminal, and all of its output is `stdout`. */
  readonly terminal?: TerminalSize
}

/** Joins the connection to a port of dom0: after the request line TCP goes as it is, UDP as frames of a datagram each. */
export interface ConnectRequest {
  readonly verb: 'connect'
  readonly protocol: 'tcp' | 'udp'
  readonly address: string
  readonly port: number
}

export type OperationRequest =
  | ExecRequest
  | { readonly verb: 'readFile'; readonly path: string }
  | { readonly verb: 'writeFile'; readonly path: string; readonly mode: number }

export interface ExitStatus {
  readonly code: number | null
  readonly signal: string | null
}

/** Why an operation did not take place; with a code when it is the daemon's word, not the agent's. */
export interface Failure {
  readonly message: string
  readonly code?: string
  readonly hint?: string | undefined
}

export function encodeFrame(kind: number, payload: Uint8Array | string = ''): Buffer {
  const body = Buffer.from(payload)
  const frame = Buffer.allocUnsafe(headerBytes + body.length)
  frame.writeUInt8(kind, 0)
  frame.writeUInt32LE(body.length, 1)
  body.copy(frame, headerBytes)
  return frame
}

/** Collects bytes and hands out whole frames. */
export class FrameReader {
  #pending: Buffer = Buffer.alloc(0)

  /** Adds `chunk` and returns the frames that are complete by now. Throws when a frame is larger than allowed. */
  push(chunk: Buffer): { kind: number; payload: Buffer }[] {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk])
    const frames: { kind: number; payload: Buffer }[] = []
    let at = 0
    while (this.#pending.length - at >= headerBytes) {
      const length = this.#pending.readUInt32LE(at + 1)
      if (length > maxFrameBytes)
        throw new Error(`Cannot read a frame of ${length} bytes: the limit is ${maxFrameBytes}`)
      const end = at + headerBytes + length
      if (this.#pending.length < end) break
      frames.push({
        kind: this.#pending.readUInt8(at),
        payload: this.#pending.subarray(at + headerBytes, end),
      })
      at = end
    }
    this.#pending = this.#pending.subarray(at)
    return frames
  }
}

/** Collects bytes and hands out whole lines, without their newline; a line has a limit of 1 MiB. */
export class LineReader {
  #pending = ''

  push(chunk: Buffer): string[] {
    const lines = (this.#pending + chunk.toString('latin1')).split('\n')
    this.#pending = lines.pop() ?? ''
    if (this.#pending.length > 1024 * 1024) throw new Error('Cannot read a line of more than 1 MiB')
    return lines.map((line) => Buffer.from(line, 'latin1').toString())
  }
}
