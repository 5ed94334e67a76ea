// What can be done with labs, for the command line, the app and the test fixture. Progress goes line by line to a
// callback; every failure is a LabError with a hint.

import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, openSync, readFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type LabCache, openCache } from './cache.ts'
import { createLabFolder, type LabFiles, labFiles } from './daemon/lab-files.ts'
import type { DaemonConfig, LabStatus } from './daemon/messages.ts'
import { LabError } from './errors.ts'
import { coreDisk, emptyCoreDisk, isCoreBuilt, stateDisk } from './image/disks.ts'
import { isListening, requestLab } from './lab-client.ts'
import { checkLabName, type LabOptions, labOptions } from './lab-options.ts'
import { buildMachineParts } from './machine-parts.ts'
import { labFolder, projectRoot } from './project-files.ts'
import { runTool } from './run-tool.ts'
import { openSnapshot } from './snapshot.ts'

export type Report = (line: string) => void

/** Starts a lab, or waits for one that is starting; does nothing to one that runs. Resolves once it can be used. */
export async function up(given: Partial<LabOptions>, report: Report): Promise<LabStatus> {
  const options = labOptions(given)
  const cache = openCache()
  const files = labFiles(cache, options.name)
  if (!(await isListening(files.labSocket)))
    await startDaemon(cache, options, { report, isDisposable: false })
  return watch(files, report)
}

/** Shuts a lab down in order; one that does not run is no error. Resolves with whether it did run. */
export async function down(name: string, report: Report): Promise<boolean> {
  const files = filesOf(name)
  if (!(await isListening(files.labSocket))) return false
  report(`Shutting down the lab "${name}"`)
  await requestLab(files.labSocket, { verb: 'down' })
  return true
}

/** The status of a lab, or undefined if it does not run. */
export async function status(name: string): Promise<LabStatus | undefined> {
  const files = filesOf(name)
  if (!(await isListening(files.labSocket))) return undefined
  return (await requestLab(files.labSocket, { verb: 'status' })) as LabStatus
}

/** The status of every lab that runs. */
export async function statusOfAll(): Promise<LabStatus[]> {
  const names = (await readdir(openCache().labs)).filter((name) => !name.startsWith('.'))
  const all = await Promise.all(names.map((name) => status(name)))
  return all.filter((one) => one !== undefined)
}

/** The files of a lab by name; throws `lab.option` for a name that none can have. */
export function filesOf(name: string): LabFiles {
  checkLabName(name)
  return labFiles(openCache(), name)
}

/** Resolves when the lab can be used. */
export async function watch(files: LabFiles, report: Report): Promise<LabStatus> {
  return (await requestLab(files.labSocket, { verb: 'watch' }, (line) =>
    report(`The lab is ${line}`),
  )) as LabStatus
}

export interface DaemonOptions {
  readonly report: Report
  /** The lab belongs to this process: it ends with it and leaves nothing. */
  readonly isDisposable: boolean
}

/** Builds what is missing and starts a lab's daemon; resolves once it listens, with its process. */
export async function startDaemon(
  cache: LabCache,
  options: LabOptions,
  { report, isDisposable }: DaemonOptions,
): Promise<ChildProcess> {
  const files = labFiles(cache, options.name)
  const root = projectRoot()
  if (options.runsCore && !isCoreBuilt(root)) {
    throw new LabError(
      'lab.core',
      `Cannot start the core host in the lab: ${join(root, 'dist/core/core-host.js')} is not built`,
      {
        hint: 'Build it with "npm run build", or start the lab without it: --no-core',
      },
    )
  }
  const machine = await buildMachineParts(cache, options, report)
  const snapshot = await openSnapshot(cache, machine, report)
  createLabFolder(files)
  const core = existsSync(join(root, 'node_modules/koffi'))
    ? await coreDisk(cache, root)
    : await emptyCoreDisk(cache)
  await runTool(['cp', '--sparse=always', '--reflink=auto', core, files.coreDisk])
  await stateDisk(cache, files.stateDisk)
  const config: DaemonConfig = {
    name: options.name,
    files,
    machine,
    snapshot,
    runsCore: options.runsCore,
    isDisposable,
  }
  return spawnDaemon(config)
}

function spawnDaemon(config: DaemonConfig): Promise<ChildProcess> {
  const log = openSync(config.files.daemonLog, 'w')
  const daemon = spawn(process.execPath, [daemonPath(), JSON.stringify(config)], {
    detached: true,
    stdio: [config.isDisposable ? 'pipe' : 'ignore', 'pipe', log],
    cwd: '/',
  })
  return new Promise((resolve, reject) => {
    daemon.stdout?.once('data', () => {
      daemon.stdout?.destroy()
      daemon.unref()
      resolve(daemon)
    })
    daemon.on('error', (cause) =>
      reject(new LabError('lab.daemon', `Cannot start the lab: ${cause.message}`, { cause })),
    )
    daemon.on('exit', (code, signal) => {
      const said = readFileSync(config.files.daemonLog, 'utf8').trim().split('\n').slice(-5).join('\n')
      reject(
        new LabError('lab.daemon', `Cannot start the lab: its process ended with ${signal ?? code}: ${said}`),
      )
    })
  })
}

/** The daemon as source beside this file, or as a bundle of its own. */
function daemonPath(): string {
  const candidates = [
    join(import.meta.dirname, 'daemon/lab-daemon.ts'),
    join(import.meta.dirname, 'lab-daemon.js'),
    join(labFolder(), 'daemon/lab-daemon.ts'),
  ]
  const found = candidates.find((path) => existsSync(path))
  if (!found) throw new LabError('lab.files', `Cannot start the lab: none of ${candidates.join(', ')} exists`)
  return found
}
