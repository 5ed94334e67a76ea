// Archives of images on stream connections: bytes that a client sends for an import, and those that it is sent of an
// export. Between the connection and the image worker stands one buffer that either side waits for.
import { PassThrough } from 'node:stream'
import type { OutputEvent } from './broker/output-stream.ts'
import type { StreamSession } from './broker/stream-session.ts'
import { GuestError } from './errors.ts'

/** The job that reads or writes an archive, as its stream sees it. */
export interface ArchiveJob {
  readonly isOver: () => boolean
  readonly cancel: () => void
}

/** What a stream frame takes. */
const pieceBytes = 64 * 1024

/** Holds up to 1 MiB. */
export function archiveBuffer(): PassThrough {
  const archive = new PassThrough({ highWaterMark: 1024 * 1024 })
  // Its failure is the job's, or the stream's; without a listener it would end the process.
  archive.on('error', () => undefined)
  return archive
}

/** Feeds `archive` with what the client sends. A connection that closes before the end ends the job. */
export function importSession(archive: PassThrough, job: ArchiveJob): StreamSession {
  let ended = false
  return {
    kind: 'import',
    terminal: false,
    outputs: [],
    consumed: () => undefined,
    input: {
      // After a failure the rest is taken and thrown away: the job says what was wrong.
      write: (bytes) =>
        job.isOver() || archive.destroyed ? Promise.resolve() : writeArchive(archive, bytes),
      end: () => {
        ended = true
        archive.end()
      },
    },
    close: () => {
      if (ended || job.isOver()) return
      archive.destroy(
        new GuestError(
          'image.import-cut',
          'The archive ended before it was whole: the connection was closed',
        ),
      )
      job.cancel()
    },
  }
}

/**
 * Sends the client what is in `archive`, as it reads; a failure of the archive becomes the stream's. Nobody else reads
 * an export, so a connection that closes before the end, or never comes, ends the job.
 */
export function exportSession(archive: PassThrough, job: ArchiveJob): StreamSession {
  return {
    kind: 'export',
    terminal: false,
    outputs: [archiveEvents(archive)],
    consumed: () => undefined,
    close: () => {
      archive.destroy()
      if (!job.isOver()) job.cancel()
    },
  }
}

/** Resolves when there is room for more. Rejects when nobody reads any more. */
export function writeArchive(archive: PassThrough, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    archive.write(bytes, (error) => (error ? reject(error) : resolve()))
  })
}

async function* archiveEvents(archive: PassThrough): AsyncGenerator<OutputEvent> {
  let offset = 0
  for await (const chunk of archive as AsyncIterable<Buffer>) {
    for (let start = 0; start < chunk.length; start += pieceBytes) {
      const bytes = chunk.subarray(start, start + pieceBytes)
      yield { kind: 'data', stream: 1, offset, bytes }
      offset += bytes.length
    }
  }
  yield { kind: 'end', stream: 1, offset }
}
