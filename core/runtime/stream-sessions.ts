// A guest's program and its console, as a client on a stream connection has them.
import type { ExitRecord } from '../api/methods.ts'
import type { OutputReader, OutputStream } from './broker/output-stream.ts'
import type { StreamInput, StreamSession } from './broker/stream-session.ts'
import type { GuestStreams } from './guest-streams.ts'

export interface StdioOptions {
  readonly lossless: boolean
  readonly from: 'start' | 'now'
  readonly terminal: boolean
  readonly input: StreamInput | undefined
  readonly exit: Promise<ExitRecord>
  readonly resize: (rows: number, columns: number) => void
  readonly signal: (signal: number) => void
}

/** The program's stdin, stdout and stderr, or its terminal. */
export function stdioSession(streams: GuestStreams, options: StdioOptions): StreamSession {
  const sources = streams.stderr === undefined ? [streams.stdout] : [streams.stdout, streams.stderr]
  const readers = openReaders(sources, options.lossless, options.from)
  return {
    kind: 'stdio',
    terminal: options.terminal,
    outputs: [...readers.values()].map((reader) => reader.events()),
    input: options.input,
    exit: options.exit,
    consumed: (stream, offset) => readers.get(stream)?.consume(offset),
    resize: options.resize,
    signal: options.signal,
    close: () => closeAll(readers),
  }
}

/** hvc0, both ways. */
export function consoleSession(
  streams: GuestStreams,
  from: 'start' | 'now',
  input: StreamInput | undefined,
): StreamSession {
  const readers = openReaders([streams.console], false, from)
  return {
    kind: 'console',
    terminal: true,
    outputs: [...readers.values()].map((reader) => reader.events()),
    input,
    consumed: () => undefined,
    close: () => closeAll(readers),
  }
}

function openReaders(
  sources: readonly OutputStream[],
  lossless: boolean,
  from: 'start' | 'now',
): Map<number, OutputReader> {
  return new Map(sources.map((source) => [source.stream, source.openReader({ lossless, from })]))
}

function closeAll(readers: ReadonlyMap<number, OutputReader>): void {
  for (const reader of readers.values()) reader.close()
}
