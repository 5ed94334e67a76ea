// `bulkhead import`: an image from a file, a folder or standard input. The client reads it; the core host gets bytes.
import type { Command } from 'commander'
import { waitForJob } from '../../../core/client/job.ts'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { type ImportSource, openImportSource } from '../images/import-source.ts'
import { JobProgress } from '../images/job-progress.ts'
import { printable } from '../output/printable.ts'

interface Options {
  readonly name?: string
  readonly quiet: boolean
}

export function configure(command: Command): void {
  command
    .argument('<source>', 'an archive, a folder with an OCI layout, or - for standard input')
    .option('--name <reference>', "call the image this, in place of the archive's own name")
    .option('-q, --quiet', 'no progress', false)
  describeExamples(
    command,
    [
      ['import app.tar', 'what "docker save" or "skopeo copy" wrote'],
      ['import --name app:1 ./layout', 'an OCI layout, as umoci and buildah make them'],
      ['import - < app.tar.gz', 'standard input; gzip and zstd are unpacked'],
    ],
    'Prints the references of what came in.',
  )
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const [path = ''] = command.args
  const { name, quiet } = command.opts<Options>()
  const source = await openImportSource(path, context.process.stdin)
  const references = await context.interruptible((signal) =>
    importImage(context, source, { name, quiet, signal }),
  )
  await context.print(references.map((reference) => `${printable(reference)}\n`).join(''))
  return 0
}

async function importImage(
  context: CliContext,
  { bytes, sizeBytes }: ImportSource,
  { name, quiet, signal }: { name: string | undefined; quiet: boolean; signal: AbortSignal },
): Promise<readonly string[]> {
  const client = await context.connect()
  const params = {
    ...(name === undefined ? {} : { name }),
    ...(sizeBytes === undefined ? {} : { sizeBytes }),
  }
  const { job, ticket } = await client.request('images.import', params, { signal })
  using stream = await client.openStream(ticket, {}, { signal })
  using progress = new JobProgress(context.process.stderr, quiet)
  const sending = (async () => {
    for await (const chunk of bytes) if (!(await stream.write(chunk))) return
    await stream.end()
  })()
  const finished = waitForJob(client, job, { signal, onProgress: (seen) => progress.show(seen) })
  finished.catch(() => {}) // Where sending fails, that is the reason.
  try {
    // A job that fails before it has everything wants no more; bytes that cannot be read end the job.
    await Promise.race([sending, finished])
  } catch (error) {
    sending.catch(() => {})
    stream.close()
    throw error
  }
  return (await finished).references
}
