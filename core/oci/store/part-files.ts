// What lies in `ingest/`: downloads that have not ended, kept so that the next try goes on where this one stopped.
//
// `<algorithm>-<hex>.part` holds the beginning of a blob, `<algorithm>-<hex>.<start>.part` a piece from further on that
// came over another connection before what is in front of it. There is no journal that could disagree with the bytes
// after a kill -9: a file's name says where it belongs and its size how much of it is there. (One sparse file would need
// such a journal; keeping the contiguous beginning alone would lose up to 8 MiB for each connection. The price is that a
// piece is copied once more, out of the page cache, when its turn comes.) What a power cut made of a file is found out by
// its hash: nothing of it is believed before it was hashed again.

import { lstat, readdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { type Digest, digestAlgorithm, digestHex, isDigest } from '../digest.ts'
import { hasCode } from '../errors.ts'

const SUFFIX = '.part'
const PART_NAME = /^(sha256|sha512)-([0-9a-f]+)(?:\.(\d{1,15}))?\.part$/
/** A download that nobody went on with for a week is not wanted any more. */
const KEPT_MS = 7 * 24 * 3600 * 1000

/** A file of a download that has not ended. */
export interface PartFile {
  readonly digest: Digest
  readonly path: string
  /** Where in the blob its bytes begin; 0 for the beginning itself. */
  readonly start: number
  readonly sizeBytes: number
}

/** Where the beginning of a blob is kept, or the piece that begins at `start`. */
export function partPath(folder: string, digest: Digest, start = 0): string {
  const place = start === 0 ? '' : `.${start}`
  return path.join(folder, `${digestAlgorithm(digest)}-${digestHex(digest)}${place}${SUFFIX}`)
}

/** All files of downloads in the folder, or those of one blob. */
export async function listParts(folder: string, digest?: Digest): Promise<PartFile[]> {
  const parts: PartFile[] = []
  for (const name of await readdir(folder)) {
    const part = readName(name)
    if (part === undefined || (digest !== undefined && part.digest !== digest)) continue
    const file = path.join(folder, name)
    const status = await statusOf(file)
    if (status?.isFile() === true) parts.push({ ...part, path: file, sizeBytes: status.size })
  }
  return parts
}

/** Removes downloads that were given up long ago, and everything else that a crash left in the folder. */
export async function clearLeftovers(folder: string, nowMs: number): Promise<void> {
  for (const name of await readdir(folder)) {
    const file = path.join(folder, name)
    const status = await statusOf(file)
    if (status === undefined) continue
    const isKept = readName(name) !== undefined && status.isFile() && nowMs - status.mtimeMs < KEPT_MS
    if (!isKept) await rm(file, { recursive: true, force: true })
  }
}

function readName(name: string): { digest: Digest; start: number } | undefined {
  const [, algorithm, hex, start] = PART_NAME.exec(name) ?? []
  const digest = `${algorithm}:${hex}`
  return isDigest(digest) ? { digest, start: Number(start ?? 0) } : undefined
}

async function statusOf(file: string) {
  try {
    return await lstat(file)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}
