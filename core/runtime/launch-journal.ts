// What a launch has made so far, kept on disk so that it can be undone after a crash. docs/contracts/state.md.
import { readFile, rm } from 'node:fs/promises'
import { replaceFile } from '../durable-file.ts'

/** Everything of a guest outside its folder, in the order it was made. */
export interface LaunchJournal {
  readonly formatVersion: 1
  readonly steps: readonly LaunchedThing[]
}

export type LaunchedThing =
  /** Written before the domain is made: it is found by its UUID. */
  | { readonly kind: 'domain'; readonly uuid: string; readonly domid?: number | undefined }
  | { readonly kind: 'loop'; readonly file: string; readonly device?: number | undefined }
  | {
      readonly kind: 'nodes'
      readonly domid: number
      readonly consolePort: number
      readonly consoleFrame: number
    }
  | { readonly kind: 'vbd'; readonly domid: number; readonly device: number }
  /** The device in dom0 is `vifDOMID.DEVICE`, in the namespace of the vifs; it goes with the domain. */
  | { readonly kind: 'vif'; readonly domid: number; readonly device: number }

export async function writeJournal(path: string, steps: readonly LaunchedThing[]): Promise<void> {
  const journal: LaunchJournal = { formatVersion: 1, steps }
  // A machine that lost power has lost its domains and loop devices too.
  await replaceFile(path, `${JSON.stringify(journal, null, 2)}\n`, { survives: 'process' })
}

/** The journal at `path`; undefined where there is none or it cannot be understood. */
export async function readJournal(path: string): Promise<LaunchJournal | undefined> {
  try {
    const journal = JSON.parse(await readFile(path, 'utf8')) as LaunchJournal
    return journal.formatVersion === 1 && Array.isArray(journal.steps) ? journal : undefined
  } catch {
    // Never written, or written by another version: then the domain list and its UUIDs have to do.
    return undefined
  }
}

export async function removeJournal(path: string): Promise<void> {
  await rm(path, { force: true })
}
