// Blobs as files: `blobs/<algorithm>/<hex>` of an OCI layout (image-layout.md), where they are and what they hold. What may
// be put there or removed, and when, is for blob-store.ts to say.

import { constants } from 'node:fs'
import { type FileHandle, lstat, mkdir, open, readdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { syncFolder } from '../../durable-file.ts'
import {
  type Digest,
  type DigestAlgorithm,
  Digester,
  digestAlgorithm,
  digestHex,
  digestOf,
  isDigest,
  requireSameDigest,
} from '../digest.ts'
import { hasCode, OciError, throwIfCancelled } from '../errors.ts'

export interface StoredBlob {
  readonly digest: Digest
  readonly size: number
}

const ALGORITHMS: readonly DigestAlgorithm[] = ['sha256', 'sha512']
export const READ_BYTES = 1024 * 1024
/** Names in the store are ours: a symbolic link there was not made by us and is not followed. */
export const OPEN_TO_READ = constants.O_RDONLY | constants.O_NOFOLLOW

export class BlobFiles {
  readonly #folder: string

  private constructor(folder: string) {
    this.#folder = folder
  }

  /** The blobs of the layout in `folder`; their folders are made where they are missing. */
  static async open(folder: string): Promise<BlobFiles> {
    for (const algorithm of ALGORITHMS)
      await mkdir(path.join(folder, 'blobs', algorithm), { recursive: true, mode: 0o700 })
    return new BlobFiles(folder)
  }

  /** Where the blob of a digest is, or would be. */
  pathOf(digest: Digest): string {
    return path.join(this.#folder, 'blobs', digestAlgorithm(digest), digestHex(digest))
  }

  /** Whether the blob is there, with exactly this size. */
  async has({ digest, size }: StoredBlob): Promise<boolean> {
    try {
      const status = await lstat(this.pathOf(digest))
      return status.isFile() && status.size === size
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return false
      throw error
    }
  }

  /** Opens a blob for reading. Throws `oci.not-found`. */
  async openBlob(digest: Digest, what: string): Promise<FileHandle> {
    try {
      return await open(this.pathOf(digest), OPEN_TO_READ)
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error
      throw new OciError('oci.not-found', `Cannot read ${what}: ${digest} is not in the store`, {
        cause: error,
      })
    }
  }

  /** Every file that is named like a blob. A file of another name is not ours. */
  async *list(): AsyncGenerator<StoredBlob, void, void> {
    for (const algorithm of ALGORITHMS) {
      for (const name of await readdir(path.join(this.#folder, 'blobs', algorithm))) {
        const digest = `${algorithm}:${name}`
        if (!isDigest(digest)) continue
        const sizeBytes = await sizeOf(this.pathOf(digest))
        if (sizeBytes !== undefined) yield { digest, size: sizeBytes }
      }
    }
  }

  /** Names of files beside the blobs that are not named like one. */
  async strangers(): Promise<string[]> {
    const names: string[] = []
    for (const algorithm of ALGORITHMS) {
      const found = await readdir(path.join(this.#folder, 'blobs', algorithm))
      names.push(
        ...found
          .filter((name) => !isDigest(`${algorithm}:${name}`))
          .map((name) => `blobs/${algorithm}/${name}`),
      )
    }
    return names
  }

  /** Hashes a blob again; undefined when it is gone. */
  async digestNow(digest: Digest, signal?: AbortSignal): Promise<Digest | undefined> {
    try {
      await using file = await open(this.pathOf(digest), OPEN_TO_READ)
      return await digestOfFile(file, digestAlgorithm(digest), signal)
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return undefined
      // A link in a blob's place (ELOOP) has no content of ours.
      if (hasCode(error, 'ELOOP')) return digestOf(new Uint8Array(), digestAlgorithm(digest))
      throw error
    }
  }

  /** Removes the file of a blob, or whatever is in its place. */
  async remove(digest: Digest): Promise<void> {
    await rm(this.pathOf(digest), { force: true, recursive: true })
  }

  /** Makes what was removed stay removed. */
  async sync(): Promise<void> {
    for (const algorithm of ALGORITHMS) await syncFolder(path.join(this.#folder, 'blobs', algorithm))
  }
}

/**
 * Checks that an open file, whose bytes were seen to be `actual`, is the blob that is expected; hashes it again where the
 * digests are of different kinds. Throws `oci.size-mismatch`, `oci.digest-mismatch`.
 */
export async function requireSameBlob(
  what: string,
  file: FileHandle,
  actual: StoredBlob,
  expected: StoredBlob,
): Promise<void> {
  if (actual.size !== expected.size) {
    throw new OciError(
      'oci.size-mismatch',
      `Cannot accept ${what}: it has ${actual.size} bytes, not ${expected.size}`,
    )
  }
  const algorithm = digestAlgorithm(expected.digest)
  const isSameKind = digestAlgorithm(actual.digest) === algorithm
  requireSameDigest(what, expected.digest, isSameKind ? actual.digest : await digestOfFile(file, algorithm))
}

/** Hashes an open file from its beginning. */
async function digestOfFile(
  file: FileHandle,
  algorithm: DigestAlgorithm,
  signal?: AbortSignal,
): Promise<Digest> {
  const digester = new Digester(algorithm)
  const buffer = Buffer.allocUnsafe(READ_BYTES)
  for (let position = 0; ; ) {
    throwIfCancelled(signal, 'read a blob')
    const { bytesRead } = await file.read(buffer, 0, READ_BYTES, position)
    if (bytesRead === 0) return digester.finish()
    digester.update(buffer.subarray(0, bytesRead))
    position += bytesRead
  }
}

async function sizeOf(file: string): Promise<number | undefined> {
  try {
    return (await lstat(file)).size
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}
