// `node lab/cli.ts`: the lab without the rest of Bulkhead, for those who work on it.

import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { BulkheadError } from '../core/errors.ts'
import { down, filesOf, statusOfAll, up } from './commands.ts'
import type { LabStatus } from './daemon/messages.ts'
import { LabError } from './errors.ts'
import { defaultLabName, type LabOptions } from './lab-options.ts'
import { attachConsole, execInLab, shellInLab } from './terminal.ts'

const usage = `Usage: node lab/cli.ts COMMAND [options]
  up        start the lab, or wait for it     --memory MiB, --dom0-memory MiB, --no-core
  down      shut it down                      --all
  status    what runs                         --json
  shell     a shell in dom0
  exec      a program in dom0                 -- PROGRAM ARGUMENT…
  console   the console of Xen and dom0       --log prints what it said so far
Every command takes --name NAME (default: ${defaultLabName}).`

const report = (line: string) => process.stderr.write(`${line}\n`)

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      name: { type: 'string', default: defaultLabName },
      memory: { type: 'string' },
      'dom0-memory': { type: 'string' },
      'no-core': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      log: { type: 'boolean', default: false },
      all: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  const [command, ...rest] = positionals
  const { name } = values
  if (values.help) {
    process.stdout.write(`${usage}\n`)
    return 0
  }
  switch (command) {
    case 'up': {
      const options: Partial<LabOptions> = {
        name,
        runsCore: !values['no-core'],
        ...(values.memory === undefined ? {} : { memoryMiB: Number(values.memory) }),
        ...(values['dom0-memory'] === undefined ? {} : { dom0MemoryMiB: Number(values['dom0-memory']) }),
      }
      const lab = await up(options, report)
      report(`The lab "${lab.name}" is ready: ${lab.coreSocket}`)
      return 0
    }
    case 'down': {
      const names = values.all ? (await statusOfAll()).map((lab) => lab.name) : [name]
      for (const one of names) if (!(await down(one, report))) report(`The lab "${one}" is not running`)
      return 0
    }
    case 'status':
      return printStatus(await statusOfAll(), values.json)
    case 'shell':
      return shellInLab(filesOf(name))
    case 'exec':
      return execInLab(filesOf(name), rest)
    case 'console':
      if (values.log) process.stdout.write(readFileSync(filesOf(name).consoleLog))
      else await attachConsole(filesOf(name))
      return 0
    default:
      throw new LabError(
        'lab.option',
        command === undefined
          ? 'Cannot run the lab without a command'
          : `Cannot run "${command}": the lab has no such command`,
        {
          hint: usage,
        },
      )
  }
}

function printStatus(labs: readonly LabStatus[], asJson: boolean): number {
  if (asJson) process.stdout.write(`${JSON.stringify(labs, null, 2)}\n`)
  else if (labs.length === 0) report('No lab is running')
  for (const lab of asJson ? [] : labs) {
    const core = lab.core?.processId ? `core host ${lab.core.processId}` : 'no core host'
    process.stdout.write(
      `${lab.name}\t${lab.detail}\t${lab.memoryMiB} MiB\t${lab.accelerator}\t${core}\t${lab.coreSocket}\n`,
    )
  }
  return 0
}

try {
  process.exitCode = await main()
} catch (error) {
  const { message, hint } =
    error instanceof BulkheadError ? error : { message: String(error), hint: undefined }
  report(message)
  if (hint) report(hint)
  process.exitCode = 1
}
