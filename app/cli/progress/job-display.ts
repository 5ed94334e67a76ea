// How the progress of a job is shown: `--progress`, and what follows from where the output goes.
import { type Command, Option } from 'commander'
import type { Job } from '../../../core/api/methods.ts'
import type { CliContext } from '../cli-context.ts'
import { JsonProgress } from './json-progress.ts'
import { PlainProgress } from './plain-progress.ts'
import { TerminalProgress } from './terminal-progress.ts'

export type ProgressMode = 'auto' | 'plain' | 'json' | 'quiet'

export interface JobDisplay {
  /** Shows a state of the job, the last one too. */
  show(job: Job): void
  /** Nothing more comes; resolves when everything is written. */
  end(): Promise<void>
}

export interface ProgressOptions {
  readonly progress: ProgressMode
  readonly quiet: boolean
}

const modes: readonly ProgressMode[] = ['auto', 'plain', 'json', 'quiet']

/** Adds `--progress` and `-q`. */
export function progressOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--progress <how>', `how progress is shown: ${modes.join(', ')}`)
        .choices(modes)
        .default('auto'),
    )
    .option('-q, --quiet', 'no progress, like --progress quiet', false)
}

export function progressMode({ progress, quiet }: ProgressOptions): ProgressMode {
  return quiet ? 'quiet' : progress
}

/** What `--progress json` writes, for the help of verbs that have it. */
export const jsonProgressHelp = `With --progress json, stdout has one JSON object a line and nothing else:
  {"type":"progress","phase","bytesDone","bytesTotal","layers":[{"digest","state","bytesDone","bytesTotal"}],"rateLimit"?}
  {"type":"done","references":[...],"rateLimit"?}, {"type":"failed","error":{"code","message","hint"?,"data"?}}
  or {"type":"cancelled"} at the end`

/** Opens the display for a mode; with `auto` a terminal sees lines that change, and a pipe sees nothing. */
export function openJobDisplay(context: CliContext, mode: ProgressMode): JobDisplay {
  return rememberingRateLimit(displayFor(context, mode))
}

/** A registry tells its limit while it is asked: it is shown at the end, when the work is at something else. */
export function rememberingRateLimit(display: JobDisplay): JobDisplay {
  let known: Job['progress']['rateLimit']
  return {
    show: (job) => {
      known = job.progress.rateLimit ?? known
      display.show(known === undefined ? job : { ...job, progress: { ...job.progress, rateLimit: known } })
    },
    end: () => display.end(),
  }
}

function displayFor(context: CliContext, mode: ProgressMode): JobDisplay {
  const { stderr } = context.process
  const note = (line: string) => void context.note(line)
  switch (mode) {
    case 'quiet':
      return nothing
    case 'json':
      return new JsonProgress((line) => context.print(line))
    case 'plain':
      return new PlainProgress(note, Date.now)
    case 'auto':
      if (!stderr.isTTY) return nothing
      // One that cannot move its cursor gets lines that stay.
      if (context.environment.TERM === 'dumb') return new PlainProgress(note, Date.now)
      return new TerminalProgress(stderr, Date.now)
  }
}

const nothing: JobDisplay = { show: () => {}, end: async () => {} }
