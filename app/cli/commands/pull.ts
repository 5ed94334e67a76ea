// `bulkhead pull`: an image from its registry.
import type { Command } from 'commander'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { pullImage } from '../images/pull-image.ts'
import { credentialsHelp, type RegistryOptions, registryOptions } from '../images/registry-options.ts'
import { printLines } from '../output/print-lines.ts'
import {
  jsonProgressHelp,
  type ProgressOptions,
  progressMode,
  progressOptions,
} from '../progress/job-display.ts'

interface Options extends ProgressOptions, RegistryOptions {
  readonly platform?: string
}

export function configure(command: Command): void {
  progressOptions(
    command.argument('<image>', 'as for docker: busybox, ghcr.io/owner/name:tag, name@sha256:...'),
  )
  registryOptions(command.option('--platform <os/arch[/variant]>', "in place of this machine's own"))
  describeExamples(
    command,
    [
      ['pull busybox', 'from Docker Hub'],
      ['pull localhost:5000/team/app:1.2', 'from a registry on the host'],
      ['pull --progress json busybox', 'for a program that shows it'],
    ],
    `Prints the reference. Ctrl+C leaves the pull; others who asked for the same go on.\n\n${credentialsHelp}\n\n${jsonProgressHelp}`,
  )
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const [image = ''] = command.args
  const options = command.opts<Options>()
  const progress = progressMode(options)
  const references = await pullImage(context, image, {
    progress,
    platform: options.platform,
    registry: options,
  })
  if (progress !== 'json') await printLines(context, references)
  return 0
}
