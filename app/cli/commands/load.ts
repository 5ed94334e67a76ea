// `bulkhead load`: `import`, for hands that know docker.
import type { Command } from 'commander'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { importImage } from '../images/import-image.ts'
import { openImportSource } from '../images/import-source.ts'
import { printLines } from '../output/print-lines.ts'

interface Options {
  readonly input: string
  readonly quiet: boolean
}

export function configure(command: Command): void {
  command
    .option('-i, --input <file>', 'read an archive from this file, not from standard input', '-')
    .option('-q, --quiet', 'no progress', false)
  describeExamples(
    command,
    [
      ['load -i app.tar', 'what "bulkhead save" or "docker save" wrote'],
      ['load < app.tar.gz', 'from a pipe; gzip and zstd are unpacked'],
    ],
    'As "bulkhead import", with docker\'s words.',
  )
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const { input, quiet } = command.opts<Options>()
  const source = await openImportSource(input, context.process.stdin)
  const references = await importImage(context, source, { progress: quiet ? 'quiet' : 'auto' })
  await printLines(
    context,
    references.map((reference) => `Loaded image: ${reference}`),
  )
  return 0
}
