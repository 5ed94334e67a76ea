// What a guest wrote so far, from its log files, and then what it writes, without a gap between the two.
import { type LogRecord, type LogSnapshot, readLog } from './broker/guest-log.ts'
import type { OutputEvent, OutputReader } from './broker/output-stream.ts'
import type { StreamSession } from './broker/stream-session.ts'
import type { GuestStreams } from './guest-streams.ts'

export interface LogSessionOptions {
  readonly source: 'stdio' | 'boot'
  readonly follow: boolean
  /** Begin with the last so many lines. */
  readonly tailLines?: number | undefined
  readonly terminal: boolean
  /** The log's file, for a guest that is not running. */
  readonly path: string
}

interface Piece {
  readonly stream: number
  readonly bytes: Uint8Array
}

const pieceBytes = 32 * 1024

/** `streams` is absent for a guest that is not running: then the files are all there is. */
export async function logSession(
  streams: GuestStreams | undefined,
  options: LogSessionOptions,
): Promise<StreamSession> {
  const log = options.source === 'stdio' ? streams?.stdioLog : streams?.bootLog
  const snapshot = log === undefined ? readLog(options.path) : await log.snapshot()
  const live = options.follow && streams !== undefined ? liveReaders(streams, options.source, snapshot) : []
  const sent = new Map<number, number>()
  const past = Promise.withResolvers<void>()

  async function* pastEvents(): AsyncGenerator<OutputEvent> {
    try {
      const pieces =
        options.tailLines === undefined ? piecesOf(snapshot) : lastLines(snapshot, options.tailLines)
      for await (const { stream, bytes } of pieces) {
        const offset = sent.get(stream) ?? 0
        sent.set(stream, offset + bytes.length)
        yield { kind: 'data', stream, offset, bytes }
      }
      if (live.length > 0) return
      for (const stream of [1, 2]) yield { kind: 'end', stream, offset: sent.get(stream) ?? 0 }
    } finally {
      past.resolve()
    }
  }

  /** Offsets go on where those of the past ended: a client sees one stream. */
  async function* liveEvents({ reader, from }: LiveReader): AsyncGenerator<OutputEvent> {
    await past.promise
    for await (const event of reader.events())
      yield { ...event, offset: event.offset - from + (sent.get(event.stream) ?? 0) }
  }

  return {
    kind: 'logs',
    terminal: options.terminal,
    outputs: [pastEvents(), ...live.map(liveEvents)],
    consumed: () => undefined,
    close: () => {
      past.resolve()
      for (const { reader } of live) reader.close()
    },
  }
}

interface LiveReader {
  readonly reader: OutputReader
  /** Where the log ended for this stream. */
  readonly from: number
}

function liveReaders(streams: GuestStreams, source: 'stdio' | 'boot', snapshot: LogSnapshot): LiveReader[] {
  const sources =
    source === 'boot'
      ? [streams.console]
      : streams.stderr === undefined
        ? [streams.stdout]
        : [streams.stdout, streams.stderr]
  return sources.map((output, index) => {
    const from = snapshot.written.get(index === 0 ? 'o' : 'e') ?? 0
    return { reader: output.openReader({ lossless: false, from }), from }
  })
}

async function* piecesOf(snapshot: LogSnapshot): AsyncGenerator<Piece> {
  for await (const record of snapshot.records()) yield* pieces(record)
}

function* pieces({ tag, bytes }: Pick<LogRecord, 'tag' | 'bytes'>): Generator<Piece> {
  for (let at = 0; at < bytes.length; at += pieceBytes)
    yield { stream: tag === 'e' ? 2 : 1, bytes: bytes.subarray(at, at + pieceBytes) }
}

async function* lastLines(snapshot: LogSnapshot, count: number): AsyncGenerator<Piece> {
  const kept: LogRecord[] = []
  let lines = 0
  for await (const record of snapshot.records()) {
    for (let at = 0; at < record.bytes.length; ) {
      const newline = record.bytes.indexOf(10, at)
      const end = newline < 0 ? record.bytes.length : newline + 1
      kept.push({ ...record, bytes: record.bytes.subarray(at, end) })
      if (newline >= 0) lines++
      at = end
    }
    // A line may be in several pieces; one that is not ended yet is on its way to be the last.
    while (lines > count || (lines === count && kept.length > 0 && count === 0)) {
      const dropped = kept.shift()
      if (dropped === undefined) break
      if (dropped.bytes.at(-1) === 10) lines--
    }
  }
  for (const record of kept) yield* pieces(record)
}
