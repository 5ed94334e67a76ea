// `bulkhead image tags`: what a repository has in its registry, page by page.
import type { Command } from 'commander'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { UsageError } from '../failure.ts'
import {
  credentialsHelp,
  type RegistryOptions,
  registryAccess,
  registryOptions,
} from '../images/registry-options.ts'
import { printLines } from '../output/print-lines.ts'

interface Options extends RegistryOptions {
  readonly all: boolean
  readonly limit?: string
  readonly json: boolean
}

const defaultLimit = 100
/** What the control API takes at once. */
const largestPage = 1000

export function configure(command: Command): void {
  command
    .argument('<repository>', 'as for pull, without a tag')
    .option('-a, --all', 'all tags, however many', false)
    .option('-n, --limit <number>', `no more than so many (default: ${defaultLimit})`)
    .option('--json', 'print a JSON array', false)
  registryOptions(command)
  describeExamples(
    command,
    [
      ['image tags busybox', `the first ${defaultLimit}, in the registry's order`],
      ['image tags --all ghcr.io/owner/app | sort -V | tail', 'the newest, by their names'],
    ],
    credentialsHelp,
  )
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const [repository = ''] = command.args
  const options = command.opts<Options>()
  const { all, json } = options
  const limit = limitOf(options)
  return await context.interruptible(async (signal) => {
    const client = await context.connect()
    const access = await registryAccess(context, repository, options, { signal })
    const tags: string[] = []
    let hasMore = true
    while (hasMore && tags.length < limit) {
      const after = tags.at(-1)
      const page = await client.request(
        'images.tags',
        {
          repository,
          limit: Math.min(largestPage, limit - tags.length),
          ...(after === undefined ? {} : { after }),
          ...access,
        },
        { signal },
      )
      tags.push(...page.tags)
      hasMore = page.hasMore && page.tags.length > 0
      if (!json) await printLines(context, page.tags)
    }
    if (json) await context.printJson(tags)
    if (hasMore && !all) await context.note(`There are more: see all with --all, or more with --limit NUMBER`)
    return 0
  })
}

function limitOf({ all, limit }: Options): number {
  if (all && limit !== undefined)
    throw new UsageError('Cannot list all tags and no more than some: drop --all or --limit')
  if (all) return Number.POSITIVE_INFINITY
  if (limit === undefined) return defaultLimit
  if (!/^[1-9]\d{0,8}$/.test(limit))
    throw new UsageError(`Cannot list "${limit}" tags: write a number above 0`)
  return Number(limit)
}
