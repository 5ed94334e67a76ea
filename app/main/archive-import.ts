// Importing an image archive: the app reads the file as the person, the core host only ever sees its bytes.
import { type FileHandle, open } from 'node:fs/promises'
import type { CoreClient } from '../../core/client/core-client.ts'
import { appError } from './app-error.ts'

const chunkBytes = 256 * 1024

export interface StartedImport {
  readonly job: string
  /** Fulfilled when every byte was handed over; the job goes on. Rejects where the file or the way breaks. */
  readonly sent: Promise<void>
}

/** Starts the import of the file at `path`. */
export async function importArchiveFile(client: CoreClient, path: string): Promise<StartedImport> {
  const file = await open(path).catch((cause: unknown) => {
    throw appError(
      'app.file',
      `Cannot read ${path}: ${cause instanceof Error ? cause.message : String(cause)}`,
    )
  })
  try {
    const { size, isFile } = await file.stat().then((stat) => ({ size: stat.size, isFile: stat.isFile() }))
    if (!isFile) throw appError('app.file', `Cannot import ${path}: it is not a file`)
    const { job, ticket } = await client.request('images.import', { sizeBytes: size })
    return { job, sent: send(client, { ticket, job }, file) }
  } catch (error) {
    await file.close()
    throw error
  }
}

async function send(
  client: CoreClient,
  { ticket, job }: { readonly ticket: string; readonly job: string },
  file: FileHandle,
): Promise<void> {
  try {
    using stream = await client.openStream(ticket)
    for await (const chunk of file.createReadStream({ highWaterMark: chunkBytes, autoClose: false }))
      if (!(await stream.write(chunk))) return
    await stream.end()
    await stream.finished
  } catch (error) {
    await client.request('jobs.cancel', { job }).catch(() => {
      // It may be over already.
    })
    throw error
  } finally {
    await file.close()
  }
}
