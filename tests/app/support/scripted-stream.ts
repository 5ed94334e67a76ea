// What one guest writes, as a stream that can be read again and again from its start, with a window for each reader
// (docs/contracts/streams.md). Input is echoed, as a terminal does.
import type { ExitRecord } from '../../../core/api/methods.ts'
import type { StreamEnd } from './core-wire.ts'

const frameBytes = 32 * 1024
const windowBytes = 1024 * 1024

interface Reader {
  readonly end: StreamEnd
  sent: number
  acknowledged: number
  /** What was left out takes no room in the window. */
  skippedTo: number
}

export class ScriptedStream {
  #bytes = Buffer.alloc(0)
  #exit: ExitRecord | undefined
  readonly #readers = new Set<Reader>()
  /** Everything that was typed. */
  typed = ''
  /** The last size that a terminal was given. */
  size: { rows: number; columns: number } | undefined
  /** The largest number of bytes that were ever on the way unacknowledged. */
  mostUnacknowledged = 0

  get readers(): number {
    return this.#readers.size
  }

  /** The furthest acknowledgement of any reader. */
  get acknowledged(): number {
    return Math.max(0, ...[...this.#readers].map((reader) => reader.acknowledged))
  }

  write(text: string | Uint8Array): void {
    this.#bytes = Buffer.concat([this.#bytes, Buffer.from(text as string)])
    for (const reader of this.#readers) this.#pump(reader)
  }

  /** Leaves `count` bytes out for readers that are up to date, as the core host does for those that fell behind. */
  skip(count: number): void {
    const at = this.#bytes.length + count
    this.#bytes = Buffer.concat([this.#bytes, Buffer.alloc(count)])
    const payload = Buffer.alloc(8)
    payload.writeBigUInt64LE(BigInt(count))
    for (const reader of this.#readers) {
      reader.sent = at
      reader.skippedTo = at
      reader.end.send('skip', 1, at, payload)
    }
  }

  exit(record: ExitRecord): void {
    this.#exit = record
    for (const reader of this.#readers) this.#pump(reader)
  }

  /** The guest was started again: the stream begins anew. */
  begin(): void {
    for (const { end } of this.#readers) end.end()
    this.#bytes = Buffer.alloc(0)
    this.#exit = undefined
  }

  serve(end: StreamEnd): void {
    const reader: Reader = { end, sent: 0, acknowledged: 0, skippedTo: 0 }
    this.#readers.add(reader)
    end.onClose(() => this.#readers.delete(reader))
    end.onFrame(({ kind, stream, offset, payload }) => {
      if (kind === 'ack') {
        reader.acknowledged = Math.max(reader.acknowledged, offset)
        this.#pump(reader)
      } else if (kind === 'data' && stream === 0) {
        this.typed += Buffer.from(payload).toString()
        end.send('ack', 0, offset + payload.length)
        this.write(Buffer.from(payload).toString().replaceAll('\r', '\r\n'))
      } else if (kind === 'resize') {
        const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength)
        this.size = { rows: view.getUint16(0, true), columns: view.getUint16(2, true) }
      }
    })
    this.#pump(reader)
  }

  #pump(reader: Reader): void {
    while (reader.sent < this.#bytes.length) {
      const room = Math.max(reader.acknowledged, reader.skippedTo) + windowBytes - reader.sent
      if (room <= 0) return
      const until = Math.min(reader.sent + Math.min(frameBytes, room), this.#bytes.length)
      reader.end.send('data', 1, reader.sent, this.#bytes.subarray(reader.sent, until))
      reader.sent = until
      this.mostUnacknowledged = Math.max(this.mostUnacknowledged, reader.sent - reader.acknowledged)
    }
    if (this.#exit === undefined) return
    reader.end.send('exit', 0, 0, Buffer.from(JSON.stringify(this.#exit)))
    reader.end.end()
  }
}
