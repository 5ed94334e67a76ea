// Bringing an archive of images from the core host to where it shall go, at the speed of whoever takes it.
import type { ParamsOf } from '../../../core/api/methods.ts'
import type { CoreStream } from '../../../core/client/core-stream.ts'
import { waitForJob } from '../../../core/client/job.ts'
import { BulkheadError } from '../../../core/errors.ts'
import type { CliContext } from '../cli-context.ts'
import { openJobDisplay, type ProgressMode } from '../progress/job-display.ts'
import type { SaveTarget } from './save-target.ts'

/** Exports images into `target` and completes it. Rejects, and leaves it incomplete, where anything failed. */
export async function saveImages(
  context: CliContext,
  request: ParamsOf<'images.export'>,
  target: SaveTarget,
  progress: ProgressMode,
): Promise<void> {
  const client = await context.connect()
  await context.interruptible(async (signal) => {
    const { job, ticket } = await client.request('images.export', request)
    const display = openJobDisplay(context, progress)
    let writing: Promise<void> = Promise.resolve()
    const broken = Promise.withResolvers<never>()
    broken.promise.catch(() => {})
    let stream: CoreStream | undefined
    const close = () => stream?.close() // The core host gives up what is not over yet.
    signal.addEventListener('abort', close)
    const data = (_output: 1 | 2, bytes: Uint8Array, offset: number) => {
      writing = writing.then(async () => {
        await target.write(bytes)
        stream?.acknowledge(1, offset + bytes.length)
      })
      writing.catch(broken.reject)
    }
    try {
      stream = await client.openStream(ticket, { data }, { signal })
      const exported = waitForJob(client, job, { signal, onProgress: display.show.bind(display) })
      await Promise.race([bothOf(stream.finished, exported), broken.promise])
      await writing
      await target.commit()
    } finally {
      close()
      await display.end()
    }
  })
}

/** Waits for the bytes and for the job. The job's own failure says more than that its stream broke. */
async function bothOf(sent: Promise<unknown>, exported: Promise<unknown>): Promise<void> {
  const [bytes, job] = await Promise.allSettled([sent, exported])
  const isTold =
    job.status === 'rejected' &&
    !(job.reason instanceof BulkheadError && job.reason.code === 'client.cancelled')
  if (isTold) throw job.reason
  if (bytes.status === 'rejected') throw bytes.reason
  if (job.status === 'rejected') throw job.reason
}
