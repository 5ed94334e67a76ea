// Builds an image of one layer in a process of its own, so that what it takes can be measured.

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

export interface ChildOutcome {
  /** The code of the error and the limit that it names; undefined when the image was built. */
  readonly code?: string
  readonly which?: string
  readonly message?: string
  readonly entries: number
  readonly uncompressedBytes: number
  /** What image and segment take on the disk. */
  readonly diskBytes: number
  /** Of the whole process, Node included. */
  readonly peakMiB: number
  readonly wallMs: number
}

export interface ChildTask {
  readonly layer: { readonly path: string; readonly digest: string; readonly diffId: string }
  readonly format: 'squashfs' | 'erofs'
  /** An empty folder. */
  readonly folder: string
}

/** Resolves with what became of it; rejects when the process itself ended badly. */
export async function buildInChild(task: ChildTask): Promise<ChildOutcome> {
  const program = join(import.meta.dirname, 'build-layer.ts')
  const { stdout } = await run(process.execPath, [program, JSON.stringify(task)], { timeout: 170_000 })
  return JSON.parse(stdout) as ChildOutcome
}
