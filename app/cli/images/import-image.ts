// Sending an archive to the core host, and waiting for the images in it.
import type { ParamsOf } from '../../../core/api/methods.ts'
import { waitForJob } from '../../../core/client/job.ts'
import type { CliContext } from '../cli-context.ts'
import { openJobDisplay, type ProgressMode } from '../progress/job-display.ts'
import type { ImportSource } from './import-source.ts'

export interface ImportOptions {
  readonly name?: string | undefined
  readonly platform?: string | undefined
  readonly progress: ProgressMode
}

/** Imports what `source` holds; returns the references that it brought. */
export async function importImage(
  context: CliContext,
  { bytes, sizeBytes }: ImportSource,
  { name, platform, progress }: ImportOptions,
): Promise<readonly string[]> {
  const client = await context.connect()
  const params: ParamsOf<'images.import'> = {
    ...(name === undefined ? {} : { name }),
    ...(platform === undefined ? {} : { platform }),
    ...(sizeBytes === undefined ? {} : { sizeBytes }),
  }
  return await context.interruptible(async (signal) => {
    const { job, ticket } = await client.request('images.import', params, { signal })
    using stream = await client.openStream(ticket, {}, { signal })
    const display = openJobDisplay(context, progress)
    const sending = (async () => {
      for await (const chunk of bytes) if (!(await stream.write(chunk))) return
      await stream.end()
    })()
    const finished = waitForJob(client, job, { signal, onProgress: display.show.bind(display) })
    finished.catch(() => {}) // Where sending fails, that is the reason.
    try {
      // A job that fails before it has everything wants no more; bytes that cannot be read end the job.
      await Promise.race([sending, finished])
      return (await finished).references
    } catch (error) {
      sending.catch(() => {})
      stream.close()
      throw error
    } finally {
      await display.end()
    }
  })
}
