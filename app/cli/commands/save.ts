// `bulkhead save`: images as one archive, into a file or a pipe.
import { type Command, Option } from 'commander'
import type { ParamsOf } from '../../../core/api/methods.ts'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { UsageError } from '../failure.ts'
import { saveImages } from '../images/save-images.ts'
import { openSaveTarget } from '../images/save-target.ts'
import { type ProgressOptions, progressMode, progressOptions } from '../progress/job-display.ts'

type Format = NonNullable<ParamsOf<'images.export'>['format']>

interface Options extends ProgressOptions {
  readonly output?: string
  readonly format: Format
}

const formats: readonly Format[] = ['docker-archive', 'oci-archive']

export function configure(command: Command): void {
  progressOptions(
    command
      .argument('<image...>', 'names, ids, or beginnings of ids')
      .option('-o, --output <file>', 'write this file; without it standard output')
      .addOption(
        new Option('--format <format>', `${formats.join(' or ')} (default: ${formats[0]})`)
          .choices(formats)
          .default(formats[0]),
      ),
  )
  describeExamples(
    command,
    [
      ['save -o app.tar app:1', 'for "docker load" and "bulkhead load"'],
      ['save app:1 base:2 | zstd > images.tar.zst', 'several, packed'],
      ['save --format oci-archive app | ssh host podman load', 'to another machine'],
    ],
    'A file is there complete or not at all. With standard output as the target, --progress json is not possible.',
  )
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const options = command.opts<Options>()
  const { output, format } = options
  const progress = progressMode(options)
  if (progress === 'json' && (output === undefined || output === '-'))
    throw new UsageError('Cannot write progress and the archive to standard output: name a file with -o')
  await using target = await openSaveTarget(output, context.process)
  await saveImages(context, { images: [...command.args], format }, target, progress)
  return 0
}
