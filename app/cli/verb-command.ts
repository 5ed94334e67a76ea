// What every verb's command line has in common.
import { Command, Option } from 'commander'
import type { Verb } from './verbs.ts'

/** A command without arguments and options of its own yet; it throws CommanderError instead of ending the process. */
export function verbCommand(verb: Verb): Command {
  return new Command(`bulkhead ${verb.name}`)
    .description(`${verb.summary}.`)
    .exitOverride()
    .configureOutput({ writeErr: () => {}, writeOut: () => {} })
    .configureHelp({ optionDescription: ({ description }) => description })
    .helpOption('-h, --help', 'show this help')
    .helpCommand(false)
    .addOption(new Option('-H, --host <host>').hideHelp())
}

/** Collects the values of an option that may be given more than once. */
export function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value]
}
