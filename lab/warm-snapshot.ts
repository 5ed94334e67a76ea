// A second snapshot, for tests: the same machine with the built core on its disk and the core host running. Every
// suite then gets its host without waiting for the core host to start, which under emulation takes seconds.
// Careful: what the core host has in memory is the same in every lab of a snapshot; its random state as well.

import { readFileSync, writeFileSync } from 'node:fs'
import { mkdir, rename } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { LabCache } from './cache.ts'
import { filesIn } from './daemon/lab-files.ts'
import { RunningLab } from './daemon/running-lab.ts'
import { buildOnce } from './image/build-once.ts'
import { contentKey } from './image/content-key.ts'
import { copySparse, createStateDisk } from './image/disks.ts'
import type { MachineOptions } from './qemu/command-line.ts'
import { type Snapshot, settleFiles } from './snapshot.ts'

export interface WarmIngredients {
  readonly machine: MachineOptions
  /** The machine as it was booted. */
  readonly base: Snapshot
  readonly coreImage: string
}

/** The snapshot with the core host running, made from the booted one if there is none yet. */
export async function openWarmSnapshot(
  cache: LabCache,
  ingredients: WarmIngredients,
  report: (line: string) => void,
): Promise<Snapshot> {
  const { base, coreImage } = ingredients
  const key = contentKey([basename(dirname(base.ram)), basename(coreImage)])
  const folder = await buildOnce(
    join(cache.images, `warm-${key}`),
    async (workFolder) => {
      report('Starting the core host once, for the snapshot of tests')
      const saved = join(workFolder, 'saved')
      await mkdir(saved)
      await startAndSave(cache, ingredients, { workFolder, saved })
      return saved
    },
    { onWait: (processId) => report(`Waiting for process ${processId}, which makes the same snapshot`) },
  )
  return {
    ram: join(folder, 'ram'),
    state: join(folder, 'devices'),
    consoleLog: join(folder, 'console.log'),
    warm: {
      stateDisk: join(folder, 'state.ext4'),
      coreToken: readFileSync(join(folder, 'core-token'), 'utf8'),
    },
  }
}

interface Folders {
  readonly workFolder: string
  readonly saved: string
}

async function startAndSave(
  cache: LabCache,
  { machine, base, coreImage }: WarmIngredients,
  { workFolder, saved }: Folders,
): Promise<void> {
  const files = filesIn(workFolder)
  const ram = join(saved, 'ram')
  await copySparse(base.ram, ram)
  await copySparse(base.consoleLog, files.consoleLog)
  await copySparse(coreImage, files.coreDisk)
  await createStateDisk(cache, files.stateDisk)
  const lab = new RunningLab({
    name: 'warm',
    files,
    machine,
    snapshot: { ...base, ram },
    isRamShared: true,
    coreImage,
    runsCore: true,
    isDisposable: true,
  })
  try {
    await lab.start()
    await lab.whenReady()
    await lab.dom0.machine.save(join(saved, 'devices'))
  } finally {
    await lab.stop()
  }
  // The file system on the state disk is in use in the saved memory: disk and memory belong together.
  await rename(files.stateDisk, join(saved, 'state.ext4'))
  await rename(files.consoleLog, join(saved, 'console.log'))
  writeFileSync(join(saved, 'core-token'), lab.coreToken, { mode: 0o600 })
  await settleFiles(saved)
}
