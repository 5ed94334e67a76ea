// Fetching an image with the user's own credentials, and with progress where a person looks on.
import { isLeftToOthers, waitForJob } from '../../../core/client/job.ts'
import type { CliContext } from '../cli-context.ts'
import { openJobDisplay, type ProgressMode } from '../progress/job-display.ts'
import { type RegistryOptions, registryAccess } from './registry-options.ts'

export interface PullOptions {
  readonly progress: ProgressMode
  readonly platform?: string | undefined
  readonly registry: RegistryOptions
}

/** Pulls an image; returns the references that it brought. */
export async function pullImage(
  context: CliContext,
  reference: string,
  { progress, platform, registry }: PullOptions,
): Promise<readonly string[]> {
  const client = await context.connect()
  return await context.interruptible(async (signal) => {
    const access = await registryAccess(context, reference, registry, {
      signal,
      isQuiet: progress === 'quiet',
    })
    const params = { reference, ...(platform === undefined ? {} : { platform }), ...access }
    signal.throwIfAborted()
    // Not to be given up by itself: a job that nobody knows of could not be left.
    const { job } = await client.request('images.pull', params)
    const display = openJobDisplay(context, progress)
    try {
      const onProgress = display.show.bind(display)
      const { references } = await waitForJob(client, job, { signal, onProgress })
      return references
    } finally {
      await display.end()
    }
  }, describeInterruption)
}

/** What has become of a pull that the user interrupted. */
function describeInterruption(failure: unknown): string {
  switch (isLeftToOthers(failure)) {
    case true:
      return 'Interrupted: others still wait for the pull; it goes on'
    case false:
      return 'Interrupted: the pull was ended; what has come is kept'
    case undefined:
      return 'Interrupted'
  }
}
