// `node lab/cli.ts`: the lab without the rest of Bulkhead, for those who work on it.

import { existsSync, readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { BulkheadError } from '../core/errors.ts'
import { down, filesOf, statusOfAll, up } from './commands.ts'
import type { LabStatus } from './daemon/messages.ts'
import { LabError } from './errors.ts'
import { defaultLabName } from './lab-options.ts'
import { attachConsole, execInLab, shellInLab } from './terminal.ts'

const usage = `Usage: node lab/cli.ts COMMAND [options]
  up        start the lab, or wait for it     --memory MiB, --dom0-memory MiB, --no-core
  down      shut it down                      --all
  status    what runs                         --json
  shell     a shell in dom0
  exec      a program in dom0                 -- PROGRAM ARGUMENT…
  console   the console of Xen and dom0       --log prints what it said so far
Every command takes --name NAME (default: ${defaultLabName}).`

const optionTable = {
  name: { type: 'string', default: defaultLabName },
  memory: { type: 'string' },
  'dom0-memory': { type: 'string' },
  'no-core': { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  log: { type: 'boolean', default: false },
  all: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const

const report = (line: string) => process.stderr.write(`${line}\n`)

async function main(): Promise<number> {
  const { values, positionals } = parseCommandLine()
  const [command, ...rest] = positionals
  const { name } = values
  if (values.help) return print(`${usage}\n`)
  switch (command) {
    case 'up': {
      const lab = await up(
        {
          name,
          runsCore: !values['no-core'],
          ...(values.memory === undefined ? {} : { memoryMiB: mebibytes(values.memory) }),
          ...(values['dom0-memory'] === undefined ? {} : { dom0MemoryMiB: mebibytes(values['dom0-memory']) }),
        },
        report,
      )
      report(`The lab "${lab.name}" is ready: ${lab.coreSocket}`)
      return 0
    }
    case 'down': {
      const names = values.all ? (await statusOfAll()).map((lab) => lab.name) : [name]
      for (const one of names) if (!(await down(one, report))) report(`The lab "${one}" is not running`)
      return 0
    }
    case 'status': {
      const labs = await statusOfAll()
      if (values.json) return print(`${JSON.stringify(labs, null, 2)}\n`)
      if (labs.length === 0) report('No lab is running')
      return print(labs.map(describe).join(''))
    }
    case 'shell':
      return shellInLab(filesOf(name))
    case 'exec':
      if (rest.length === 0)
        throw new LabError('lab.option', 'Cannot run a program in the lab: none is named', { hint: usage })
      return execInLab(filesOf(name), rest)
    case 'console':
      if (values.log) return printConsoleLog(name)
      await attachConsole(filesOf(name))
      return 0
    default: {
      const what =
        command === undefined
          ? 'Cannot run the lab without a command'
          : `Cannot run "${command}": the lab has no such command`
      throw new LabError('lab.option', what, { hint: usage })
    }
  }
}

function parseCommandLine() {
  try {
    return parseArgs({ allowPositionals: true, options: optionTable })
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split('. ')[0] : String(cause)
    throw new LabError('lab.option', `Cannot read the command line: ${reason}`, { hint: usage, cause })
  }
}

function mebibytes(text: string): number {
  if (/^\d+$/.test(text)) return Number(text)
  throw new LabError(
    'lab.option',
    `Cannot use ${JSON.stringify(text)} as memory: it is a whole number of MiB`,
  )
}

function describe(lab: LabStatus): string {
  const core = lab.core?.processId ? `core host ${lab.core.processId}` : 'no core host'
  return `${[lab.name, lab.detail, `${lab.memoryMiB} MiB`, lab.accelerator, core, lab.coreSocket].join('\t')}\n`
}

function printConsoleLog(name: string): number {
  const { consoleLog } = filesOf(name)
  if (!existsSync(consoleLog))
    throw new LabError('lab.down', `Cannot show the console of the lab "${name}": it never ran`)
  process.stdout.write(readFileSync(consoleLog))
  return 0
}

function print(text: string): number {
  process.stdout.write(text)
  return 0
}

// Whoever reads the output may stop reading.
process.stdout.on('error', () => process.exit(0))
try {
  process.exitCode = await main()
} catch (error) {
  const { message, hint } =
    error instanceof BulkheadError ? error : { message: String(error), hint: undefined }
  report(message)
  if (hint) report(hint)
  process.exitCode = 1
}
