// `bulkhead import`: an image from a file, a folder or standard input. The client reads it; the core host gets bytes.
import type { Command } from 'commander'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { importImage } from '../images/import-image.ts'
import { openImportSource } from '../images/import-source.ts'
import { printLines } from '../output/print-lines.ts'
import {
  jsonProgressHelp,
  type ProgressOptions,
  progressMode,
  progressOptions,
} from '../progress/job-display.ts'

interface Options extends ProgressOptions {
  readonly name?: string
  readonly platform?: string
}

export function configure(command: Command): void {
  progressOptions(
    command
      .argument('<source>', 'an archive, a folder with an OCI layout, or - for standard input')
      .option('--name <reference>', "call the image this, in place of the archive's own name")
      .option('--platform <os/arch[/variant]>', "of an archive with several, in place of the host's own"),
  )
  describeExamples(
    command,
    [
      ['import app.tar', 'what "docker save" or "skopeo copy" wrote'],
      ['import --name app:1 ./layout', 'an OCI layout, as umoci and buildah make them'],
      ['import - < app.tar.gz', 'standard input; gzip and zstd are unpacked'],
    ],
    `Prints the references of what came in.\n\n${jsonProgressHelp}`,
  )
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const [path = ''] = command.args
  const options = command.opts<Options>()
  const { name, platform } = options
  const progress = progressMode(options)
  const source = await openImportSource(path, context.process.stdin)
  const references = await importImage(context, source, { name, platform, progress })
  if (progress !== 'json') await printLines(context, references)
  return 0
}
