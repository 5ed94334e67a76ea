// The booted dom0, saved once and restored for every lab: its memory is a file that restored machines map
// privately (so labs share its page cache), its devices are a migration stream without the memory.

import { once } from 'node:events'
import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { LabCache } from './cache.ts'
import { LabError } from './errors.ts'
import { buildOnce } from './image/build-once.ts'
import { contentKey } from './image/content-key.ts'
import { coreDiskMiB, stateDiskGiB } from './image/disks.ts'
import type { MachineOptions } from './qemu/command-line.ts'
import { machineArguments } from './qemu/command-line.ts'
import { consoleTail, Machine } from './qemu/machine.ts'
import { runTool } from './run-tool.ts'

/** On a busy machine a boot has taken 70 s. */
const bootTimeoutMs = 300_000
/** Raised when the files of a snapshot change. */
const formatVersion = 2

export interface Snapshot {
  readonly ram: string
  readonly state: string
  /** What Xen and dom0 said while they booted. */
  readonly consoleLog: string
  /** Of a snapshot that has a core host running: what belongs to it. */
  readonly warm?: WarmParts
}

export interface WarmParts {
  /** The state disk as the core host left it. */
  readonly stateDisk: string
  /** The secret that the core host was started with. */
  readonly coreToken: string
}

/** The snapshot of the machine that `options` describe, made by booting it if there is none yet (10–30 s). */
export async function openSnapshot(
  cache: LabCache,
  options: MachineOptions,
  report: (line: string) => void,
): Promise<Snapshot> {
  const folder = join(cache.images, `snapshot-${snapshotKey(options)}`)
  await buildOnce(
    folder,
    async (workFolder) => {
      report(`Booting Xen and dom0 once, ${options.accelerator.reason}`)
      const saved = join(workFolder, 'snapshot')
      mkdirSync(saved)
      await bootAndSave(saved, workFolder, options, report)
      return saved
    },
    { onWait: (processId) => report(`Waiting for process ${processId}, which is booting the same machine`) },
  )
  return { ram: join(folder, 'ram'), state: join(folder, 'devices'), consoleLog: join(folder, 'console.log') }
}

/** Names of files that are keyed by content stand for their content. */
function snapshotKey(options: MachineOptions): string {
  const placeholder = { ram: 'ram', coreDisk: 'core', stateDisk: 'state' }
  const files = { ...placeholder, isRamShared: false, isDisposable: false, isIncoming: false }
  return contentKey([
    formatVersion,
    options.accelerator.key,
    machineArguments(options, files),
    coreDiskMiB,
    stateDiskGiB,
  ])
}

async function bootAndSave(
  saved: string,
  workFolder: string,
  options: MachineOptions,
  report: (line: string) => void,
): Promise<void> {
  const blank = (name: string, sizeMiB: number) => {
    const path = join(workFolder, name)
    writeFileSync(path, '')
    truncateSync(path, sizeMiB * 1024 * 1024)
    return path
  }
  const files = {
    ram: join(saved, 'ram'),
    isRamShared: true,
    coreDisk: blank('core', coreDiskMiB),
    stateDisk: blank('state', stateDiskGiB * 1024),
    isDisposable: true,
    isIncoming: false,
  }
  const consoleLog = join(saved, 'console.log')
  const startedMs = Date.now()
  const machine = await Machine.start(options, files, consoleLog)
  try {
    await waitForAgent(machine, consoleLog)
    report(`Booted in ${seconds(startedMs)} s; saving`)
    const savingMs = Date.now()
    await machine.control.request({ verb: 'ping' })
    await machine.save(join(saved, 'devices'))
    await machine.kill()
    await settleFiles(saved)
    report(`Saved in ${seconds(savingMs)} s`)
  } finally {
    await machine.kill()
  }
}

async function waitForAgent(machine: Machine, consoleLog: string): Promise<void> {
  const timeout = AbortSignal.timeout(bootTimeoutMs)
  const ready = once(machine.control, 'ready', { signal: timeout }).catch((cause: unknown) => {
    const limit = `${bootTimeoutMs / 1000} s`
    throw new LabError(
      'lab.boot',
      `Cannot boot the lab: dom0 said nothing for ${limit}\n${consoleTail(consoleLog)}`,
      { cause },
    )
  })
  const died = machine.ended.then((how) => {
    throw new LabError('lab.boot', `Cannot boot the lab: QEMU ended with ${how}\n${consoleTail(consoleLog)}`)
  })
  await Promise.race([ready, died])
}

/** Makes a saved machine small and safe: a crash of the host must not leave a memory file with gaps. */
export async function settleFiles(saved: string): Promise<void> {
  await runTool(['fallocate', '--dig-holes', join(saved, 'ram')])
  for (const name of readdirSync(saved)) {
    const file = openSync(join(saved, name), 'r+')
    fsyncSync(file)
    closeSync(file)
  }
}

function seconds(sinceMs: number): string {
  return ((Date.now() - sinceMs) / 1000).toFixed(1)
}
