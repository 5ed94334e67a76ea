// `--name` of the lab's commands.
import type { Command } from 'commander'
import { defaultLabName } from '../../../lab/lab-options.ts'

export interface LabNameOption {
  readonly name: string
}

export function labNameOption(command: Command): Command {
  return command.option('--name <name>', `which lab (default: ${defaultLabName})`, defaultLabName)
}
