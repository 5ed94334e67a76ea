// From options to a running daemon: builds what the lab boots from, lays out its folder, and starts the process.

import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, copyFileSync, existsSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { LabCache } from './cache.ts'
import { createLabFolder, labFiles } from './daemon/lab-files.ts'
import type { DaemonConfig } from './daemon/messages.ts'
import { LabError } from './errors.ts'
import { copySparse, coreDisk, createStateDisk, isCoreBuilt } from './image/disks.ts'
import { pruneImages } from './image/prune.ts'
import type { LabOptions } from './lab-options.ts'
import { removeAbandonedLabs } from './labs-cleanup.ts'
import { buildMachineParts } from './machine-parts.ts'
import { findNode, labFolder, projectRoot } from './project-files.ts'
import { openSnapshot } from './snapshot.ts'
import { openWarmSnapshot } from './warm-snapshot.ts'

export interface StartOptions {
  readonly report: (line: string) => void
  /** The lab belongs to this process: it ends with it and leaves nothing. */
  readonly isDisposable: boolean
}

/** Starts a lab's daemon and resolves with it once it can be asked. */
export async function startDaemon(
  cache: LabCache,
  options: LabOptions,
  { report, isDisposable }: StartOptions,
): Promise<ChildProcess> {
  const files = labFiles(cache, options.name)
  const coreImage = options.runsCore ? await builtCoreDisk(cache) : await coreDisk(cache, projectRoot())
  const machine = await buildMachineParts(cache, options, report)
  const booted = await openSnapshot(cache, machine, report)
  const snapshot =
    isDisposable && options.runsCore
      ? await openWarmSnapshot(cache, { machine, base: booted, coreImage }, report)
      : booted
  pruneImages(cache, Date.now())
  await removeAbandonedLabs(cache)
  createLabFolder(files)
  copyFileSync(snapshot.consoleLog, files.consoleLog)
  await copySparse(coreImage, files.coreDisk)
  if (snapshot.warm) await copySparse(snapshot.warm.stateDisk, files.stateDisk)
  else await createStateDisk(cache, files.stateDisk)
  const { name, runsCore } = options
  return spawnDaemon({
    name,
    files,
    machine,
    snapshot,
    isRamShared: false,
    coreImage,
    runsCore,
    isDisposable,
  })
}

/** The disk with the project's core; rejects with `lab.core` when that has not been built. */
export async function builtCoreDisk(cache: LabCache): Promise<string> {
  const root = projectRoot()
  if (isCoreBuilt(root)) return coreDisk(cache, root)
  const path = join(root, 'dist/core/core-host.js')
  throw new LabError('lab.core', `Cannot start the core host in the lab: ${path} has not been built`, {
    hint: 'Build it (npm run build), or start the lab without it (--no-core).',
  })
}

function spawnDaemon(config: DaemonConfig): Promise<ChildProcess> {
  const { daemonLog } = config.files
  const log = openSync(daemonLog, 'w')
  // Careful: in the app process.execPath is Electron.
  const node = findNode(projectRoot()).path
  const daemon = spawn(node, [daemonProgram(), JSON.stringify(config)], {
    detached: true,
    stdio: [config.isDisposable ? 'pipe' : 'ignore', 'pipe', log],
    cwd: '/',
  })
  closeSync(log)
  return new Promise((resolve, reject) => {
    daemon.once('error', (cause) =>
      reject(new LabError('lab.daemon', `Cannot start the lab: ${cause.message}`, { cause })),
    )
    const onEarlyExit = (code: number | null, signal: NodeJS.Signals | null) => {
      const said = readFileSync(daemonLog, 'utf8').trim().split('\n').slice(-5).join('\n')
      reject(
        new LabError('lab.daemon', `Cannot start the lab: its process ended with ${signal ?? code}: ${said}`),
      )
    }
    daemon.once('exit', onEarlyExit)
    daemon.stdout?.once('data', (word: Buffer) => {
      daemon.off('exit', onEarlyExit)
      daemon.stdout?.destroy()
      daemon.unref()
      if (word.toString().startsWith('listening')) resolve(daemon)
      else
        reject(
          new LabError('lab.taken', `Cannot start the lab "${config.name}": another process is starting it`),
        )
    })
  })
}

/** The daemon as a bundle beside this one, or as its source. */
function daemonProgram(): string {
  const bundle = join(import.meta.dirname, 'lab-daemon.js')
  return existsSync(bundle) ? bundle : join(labFolder(), 'daemon/lab-daemon.ts')
}
