// What a guest wrote, on disk: two files of a bounded size, each piece with its time, stream and offset.
// A record is `TIME TAG OFFSET LENGTH\n`, the bytes, `\n`; TAG is `o` (stdout, terminal, console) or `e` (stderr).
import { closeSync, fstatSync, openSync, read } from 'node:fs'
import { type FileHandle, mkdir, open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'

export type LogTag = 'o' | 'e'

export interface LogRecord {
  readonly timeMs: number
  readonly tag: LogTag
  readonly offset: number
  readonly bytes: Uint8Array
}

/** A moment of a log: its files as they are, and how far each stream had been written. */
export interface LogSnapshot {
  readonly written: ReadonlyMap<LogTag, number>
  records(): AsyncGenerator<LogRecord>
}

export interface GuestLogOptions {
  readonly path: string
  /** Size at which the file becomes `PATH.1`. */
  readonly rotateBytes?: number
  /** Called when all that was waiting is written. */
  readonly onDrained?: () => void
  readonly onError?: (error: unknown) => void
}

interface Barrier {
  readonly resolve: (snapshot: LogSnapshot) => void
  readonly reject: (error: unknown) => void
}

export class GuestLog {
  readonly path: string
  readonly #rotateBytes: number
  readonly #onDrained: (() => void) | undefined
  readonly #onError: ((error: unknown) => void) | undefined
  readonly #written = new Map<LogTag, number>()
  #queue: (LogRecord | Barrier)[] = []
  #waitingBytes = 0
  #file: FileHandle | undefined
  #size = 0
  #running: Promise<void> | undefined

  constructor(options: GuestLogOptions) {
    this.path = options.path
    this.#rotateBytes = options.rotateBytes ?? 8 * 1024 * 1024
    this.#onDrained = options.onDrained
    this.#onError = options.onError
  }

  /** Bytes that are not on disk yet. */
  get waitingBytes(): number {
    return this.#waitingBytes
  }

  append(record: LogRecord): void {
    this.#queue.push(record)
    this.#waitingBytes += record.bytes.length
    this.#run()
  }

  /** The log up to what was appended before the call. */
  snapshot(): Promise<LogSnapshot> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ resolve, reject })
      this.#run()
    })
  }

  /** Writes what is waiting and closes the file; the log can be appended to again. */
  async close(): Promise<void> {
    await this.#running
    await this.#file?.close()
    this.#file = undefined
  }

  #run(): void {
    this.#running ??= this.#work().finally(() => {
      this.#running = undefined
      if (this.#queue.length > 0) this.#run()
      else this.#onDrained?.()
    })
  }

  async #work(): Promise<void> {
    while (this.#queue.length > 0) {
      const queue = this.#queue
      this.#queue = []
      let pieces: Uint8Array[] = []
      let last = new Map<LogTag, number>()
      const flush = async () => {
        await this.#write(pieces)
        for (const [tag, offset] of last) this.#written.set(tag, offset)
        pieces = []
        last = new Map()
      }
      for (const entry of queue) {
        if ('bytes' in entry) {
          pieces.push(header(entry), entry.bytes, newline)
          last.set(entry.tag, entry.offset + entry.bytes.length)
        } else {
          await flush()
          try {
            entry.resolve(takeSnapshot(this.path, this.#written))
          } catch (error) {
            entry.reject(error)
          }
        }
      }
      await flush()
      this.#waitingBytes -= queue.reduce((sum, entry) => sum + ('bytes' in entry ? entry.bytes.length : 0), 0)
    }
  }

  async #write(pieces: readonly Uint8Array[]): Promise<void> {
    if (pieces.length === 0) return
    try {
      this.#file ??= await this.#open()
      if (this.#size >= this.#rotateBytes) await this.#rotate()
      const bytes = Buffer.concat(pieces)
      await this.#file.appendFile(bytes)
      this.#size += bytes.length
    } catch (error) {
      // A full disk must not stop the guest; what could not be written is lost from the log only.
      this.#onError?.(error)
      await this.#file?.close().catch(() => undefined)
      this.#file = undefined
    }
  }

  async #open(): Promise<FileHandle> {
    await mkdir(dirname(this.path), { recursive: true, mode: 0o750 })
    const file = await open(this.path, 'a', 0o640)
    this.#size = (await file.stat()).size
    return file
  }

  async #rotate(): Promise<void> {
    await this.#file?.close()
    this.#file = undefined
    await rename(this.path, `${this.path}.1`)
    this.#file = await this.#open()
  }
}

const newline = Buffer.from('\n')

function header(record: LogRecord): Buffer {
  const time = new Date(record.timeMs).toISOString()
  return Buffer.from(`${time} ${record.tag} ${record.offset} ${record.bytes.length}\n`)
}

/** The log of a guest that does not run: its files as they are. */
export function readLog(path: string): LogSnapshot {
  return takeSnapshot(path, new Map())
}

function takeSnapshot(path: string, written: ReadonlyMap<LogTag, number>): LogSnapshot {
  const files: { fd: number; size: number }[] = []
  for (const name of [`${path}.1`, path]) {
    try {
      const fd = openSync(name, 'r')
      files.push({ fd, size: fstatSync(fd).size })
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error
    }
  }
  const moment = new Map(written)
  return { written: moment, records: () => readRecords(files) }
}

async function* readRecords(files: readonly { fd: number; size: number }[]): AsyncGenerator<LogRecord> {
  try {
    for (const { fd, size } of files) {
      let pending = Buffer.alloc(0)
      let at = 0
      while (at < size) {
        const chunk = Buffer.allocUnsafe(Math.min(256 * 1024, size - at))
        const position = at
        const count = await new Promise<number>((resolve, reject) =>
          read(fd, chunk, 0, chunk.length, position, (error, bytesRead) =>
            error ? reject(error) : resolve(bytesRead),
          ),
        )
        if (count === 0) break
        at += count
        pending = Buffer.concat([pending, chunk.subarray(0, count)])
        for (;;) {
          const cut = cutRecord(pending)
          if (cut === undefined) break
          pending = pending.subarray(cut.length)
          yield cut.record
        }
      }
    }
  } finally {
    for (const { fd } of files) closeSync(fd)
  }
}

/** The first record of `bytes`; undefined where it is not complete (a log may end in half a record). */
function cutRecord(bytes: Buffer): { record: LogRecord; length: number } | undefined {
  const end = bytes.indexOf(10)
  if (end < 0 || end > 100) return undefined
  const match = /^(\S+) ([oe]) (\d+) (\d+)$/.exec(bytes.toString('latin1', 0, end))
  if (match === null) return undefined
  const [, time = '', tag, offset, length] = match
  const total = end + 1 + Number(length) + 1
  if (bytes.length < total) return undefined
  return {
    record: {
      timeMs: Date.parse(time),
      tag: tag === 'e' ? 'e' : 'o',
      offset: Number(offset),
      bytes: bytes.subarray(end + 1, total - 1),
    },
    length: total,
  }
}
