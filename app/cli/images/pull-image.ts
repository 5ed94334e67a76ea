// Fetching an image, with progress where a person looks on.
import type { ParamsOf } from '../../../core/api/methods.ts'
import { readCredentials } from '../../../core/client/docker-credentials.ts'
import { waitForJob } from '../../../core/client/job.ts'
import type { CliContext } from '../cli-context.ts'
import { JobProgress } from './job-progress.ts'

export interface PullOptions {
  readonly isQuiet: boolean
  readonly platform?: string | undefined
  readonly plainHttp?: boolean | undefined
  readonly certificateAuthority?: string | undefined
}

/** Pulls an image with the user's own credentials for its registry; returns the references that it brought. */
export async function pullImage(
  context: CliContext,
  reference: string,
  options: PullOptions,
): Promise<readonly string[]> {
  const { isQuiet, platform, plainHttp, certificateAuthority } = options
  const credentials = readCredentials(reference, context.environment)
  const params: ParamsOf<'images.pull'> = {
    reference,
    ...(platform === undefined ? {} : { platform }),
    ...(plainHttp === undefined ? {} : { plainHttp }),
    ...(certificateAuthority === undefined ? {} : { certificateAuthority }),
    ...(credentials === undefined ? {} : { credentials }),
  }
  const client = await context.connect()
  return await context.interruptible(async (signal) => {
    using progress = new JobProgress(context.process.stderr, isQuiet)
    const { job } = await client.request('images.pull', params, { signal })
    const { references } = await waitForJob(client, job, {
      signal,
      onProgress: (seen) => progress.show(seen),
    })
    return references
  })
}
