// `bulkhead pull`: an image from its registry.
import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { CliError } from '../failure.ts'
import { pullImage } from '../images/pull-image.ts'
import { printable } from '../output/printable.ts'

interface Options {
  readonly quiet: boolean
  readonly platform?: string
  readonly plainHttp: boolean
  readonly caFile?: string
}

export function configure(command: Command): void {
  command
    .argument('<image>', 'as for docker: busybox, ghcr.io/owner/name:tag, name@sha256:...')
    .option('-q, --quiet', 'no progress', false)
    .option('--platform <os/arch[/variant]>', "in place of this machine's own")
    .option('--plain-http', 'speak unencrypted HTTP with the registry', false)
    .option('--ca-file <file>', 'trust the certificate authorities in this PEM file too')
  describeExamples(
    command,
    [
      ['pull busybox', 'from Docker Hub'],
      ['pull localhost:5000/team/app:1.2', 'from a registry on the host'],
    ],
    'Credentials come from the "auths" of docker\'s config.json (~/.docker, or DOCKER_CONFIG). Prints the reference.',
  )
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const [image = ''] = command.args
  const { quiet, platform, plainHttp, caFile } = command.opts<Options>()
  const certificateAuthority = caFile === undefined ? undefined : readPem(caFile)
  const references = await pullImage(context, image, {
    isQuiet: quiet,
    platform,
    plainHttp,
    certificateAuthority,
  })
  await context.print(references.map((reference) => `${printable(reference)}\n`).join(''))
  return 0
}

function readPem(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const { message } = error as Error
    throw new CliError('cli.file', `Cannot read the certificates in ${path}: ${message}`, { cause: error })
  }
}
