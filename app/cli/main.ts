// From the words on the command line to a verb, and from what came of it to a status.
import { Command, CommanderError } from 'commander'
import { CliContext } from './cli-context.ts'
import { failureStatus, reportFailure, UsageError, usageErrorFrom } from './failure.ts'
import { groupHelp, topHelp, verbHelp } from './help.ts'
import { verbCommand } from './verb-command.ts'
import { type FoundVerb, findVerb, type Verb } from './verbs.ts'

/** Runs the command line `words` (without the program's own name) and resolves with its exit status. */
export async function main(words: readonly string[], host: NodeJS.Process = process): Promise<number> {
  await using context = new CliContext(host)
  let verb: Verb | undefined
  try {
    const { options, rest } = parseTop(words)
    context.host = options.host
    const asked = options.version ? ['version', ...rest] : rest
    const topic = helpTopic(asked, options.help === true)
    if (topic !== undefined) {
      await showHelp(context, topic)
      return 0
    }
    const found = findVerb(asked)
    verb = found.verb
    return await runVerb(context, found)
  } catch (error) {
    await reportFailure(context, error)
    return failureStatus(error, verb)
  }
}

interface TopOptions {
  readonly host?: string
  readonly help?: boolean
  readonly version?: boolean
}

/** Options before the verb; everything from the verb on is the verb's. */
function parseTop(words: readonly string[]): { options: TopOptions; rest: string[] } {
  const top = new Command('bulkhead')
    .exitOverride()
    .configureOutput({ writeErr: () => {}, writeOut: () => {} })
    .helpOption(false)
    .helpCommand(false)
    .option('-H, --host <host>')
    .option('-h, --help')
    .option('-v, --version')
    .argument('[words...]')
    .passThroughOptions()
  try {
    top.parse(words, { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError) throw usageErrorFrom(error, 'bulkhead help')
    throw error
  }
  return { options: top.opts<TopOptions>(), rest: top.args }
}

/** The words that help is wanted on, none for help on all; undefined where no help is wanted. */
function helpTopic(words: readonly string[], isAsked: boolean): readonly string[] | undefined {
  const [first, ...others] = words
  if (isAsked || first === undefined) return words
  if (first === 'help') return others
  const isOnGroup =
    others.length === 1 && /^(-h|--help)$/.test(others[0] ?? '') && groupHelp(first) !== undefined
  return isOnGroup ? [first] : undefined
}

async function runVerb(context: CliContext, { verb, rest }: FoundVerb): Promise<number> {
  const { configure, run } = await verb.load()
  const command = verbCommand(verb)
  configure(command)
  try {
    command.parse(rest, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.exitCode !== 0) throw usageErrorFrom(error, `bulkhead ${verb.name} --help`)
    await context.print(verbHelp(command))
    return 0
  }
  context.host = command.opts<TopOptions>().host ?? context.host
  return await run(context, command)
}

async function showHelp(context: CliContext, words: readonly string[]): Promise<void> {
  const [first, ...others] = words
  if (first === undefined) return await context.print(topHelp())
  const group = others.length === 0 ? groupHelp(first) : undefined
  if (group !== undefined) return await context.print(group)
  const { verb, rest } = findVerb(words)
  if (rest.length > 0)
    throw new UsageError(`There is no help on "${words.join(' ')}"`, { hint: 'See "bulkhead help".' })
  const command = verbCommand(verb)
  const { configure } = await verb.load()
  configure(command)
  await context.print(verbHelp(command))
}
