// What can be done with labs, for the command line, the app and the test fixture. Progress goes line by line to a
// callback; every failure is a LabError with a hint.

import { readdir } from 'node:fs/promises'
import { openCache } from './cache.ts'
import { type LabFiles, labFiles } from './daemon/lab-files.ts'
import type { LabStatus } from './daemon/messages.ts'
import { LabError } from './errors.ts'
import { isListening, requestLab } from './lab-client.ts'
import { checkLabName, type LabOptions, labOptions } from './lab-options.ts'
import { ProcessLock } from './process-lock.ts'
import { builtCoreDisk, startDaemon } from './start-daemon.ts'

export type Report = (line: string) => void

/** Starts a lab, or waits for one that is starting; brings a newer core to one that runs. Resolves once it can be used. */
export async function up(given: Partial<LabOptions>, report: Report): Promise<LabStatus> {
  const options = labOptions(given)
  const cache = openCache()
  const files = labFiles(cache, options.name)
  // Of several who want the same lab one starts it; the others then find it started.
  const lock = await ProcessLock.acquire(`${files.folder}/up`, {
    onWait: (processId) => report(`Waiting for process ${processId}, which starts the lab "${options.name}"`),
  })
  try {
    const running = await runningStatus(files)
    if (!running) {
      await startDaemon(cache, options, { report, isDisposable: false })
    } else {
      checkSameMachine(running, given)
      if (options.runsCore && running.state === 'ready') await bringCore(files, running, report)
    }
    return await watch(files, report)
  } finally {
    lock.release()
  }
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

/** The status of every lab that runs, those of tests included. */
export async function statusOfAll(): Promise<LabStatus[]> {
  const names = await readdir(openCache().labs)
  const all = await Promise.all(names.map((name) => status(name)))
  return all.filter((one) => one !== undefined)
}

/** The files of a lab by name; throws `lab.option` for a name that none can have. */
export function filesOf(name: string): LabFiles {
  checkLabName(name)
  return labFiles(openCache(), name)
}

/** Resolves when the lab can be used; rejects with why it cannot. */
export async function watch(files: LabFiles, report: Report): Promise<LabStatus> {
  return (await requestLab(files.labSocket, { verb: 'watch' }, (line) =>
    report(`The lab is ${line}`),
  )) as LabStatus
}

/** The status of a lab that is fit to go on; one that failed is ended, one that is ending is waited for. */
async function runningStatus(files: LabFiles): Promise<LabStatus | undefined> {
  while (await isListening(files.labSocket)) {
    const found = (await requestLab(files.labSocket, { verb: 'status' })) as LabStatus
    if (found.state === 'starting' || found.state === 'ready') return found
    await requestLab(files.labSocket, { verb: 'down' })
    await ProcessLock.whenFree(files.folder)
  }
  return undefined
}

function checkSameMachine(running: LabStatus, { memoryMiB, dom0MemoryMiB }: Partial<LabOptions>): void {
  const fits = (wanted: number | undefined, has: number) => wanted === undefined || wanted === has
  if (fits(memoryMiB, running.memoryMiB) && fits(dom0MemoryMiB, running.dom0MemoryMiB)) return
  throw new LabError(
    'lab.option',
    `Cannot change the memory of the lab "${running.name}": it runs with ${running.memoryMiB} MiB, ${running.dom0MemoryMiB} MiB of it for dom0`,
    { hint: `Shut it down first: bulkhead lab down --name ${running.name}` },
  )
}

async function bringCore(files: LabFiles, running: LabStatus, report: Report): Promise<void> {
  const image = await builtCoreDisk(openCache())
  if (image !== running.coreImage) {
    report('Bringing the newly built core into the lab')
    await requestLab(files.labSocket, { verb: 'deliverCore', image })
  }
  await requestLab(files.labSocket, { verb: 'awaitCore' })
}
