// An image archive whose members have been received, found by name. Members are only ever looked up: their names never
// become paths on this machine. Their bytes lie in memory or in numbered temporary files, already hashed, so that a member
// that turns out to be a blob is moved to its place and not copied.

import { createReadStream } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import type { Digest } from '../digest.ts'
import { OciError } from '../errors.ts'
import { quoted } from '../layer/byte-string.ts'
import type { StoredBlob } from '../store/blob-files.ts'
import type { BlobStore } from '../store/blob-store.ts'

/** A regular file of the archive. */
export interface ArchiveMember {
  readonly name: string
  readonly sizeBytes: number
  /** Of its bytes, sha256. */
  readonly digest: Digest
  content: { readonly bytes: Buffer } | { readonly path: string; readonly isBlob: boolean }
}

/** From a member's name to that of another: `docker save` writes links for layers that images share. */
export interface ArchiveLinks {
  readonly symbolic: ReadonlyMap<string, string>
  /** Another name of the same file. */
  readonly hard: ReadonlyMap<string, string>
}

const CHUNK_BYTES = 1024 * 1024

export class ReceivedArchive implements AsyncDisposable {
  readonly #folder: string
  readonly #files: ReadonlyMap<string, ArchiveMember>
  readonly #links: ArchiveLinks

  /** `folder` holds the temporary files; it is removed when the archive is disposed. */
  constructor(folder: string, files: ReadonlyMap<string, ArchiveMember>, links: ArchiveLinks) {
    this.#folder = folder
    this.#files = files
    this.#links = links
  }

  /** Names of the regular files, e.g. to find where a layout begins. */
  get names(): Iterable<string> {
    return this.#files.keys()
  }

  /** A file, or the one that a symbolic link of this name leads to in one step. */
  find(name: string): ArchiveMember | undefined {
    const target = this.#links.symbolic.get(name) ?? name
    return this.#files.get(this.#links.hard.get(target) ?? target)
  }

  /** Like `find`, for a member that has to be there. Throws `oci.bad-archive`. */
  require(name: string): ArchiveMember {
    const member = this.find(name)
    if (member !== undefined) return member
    throw new OciError('oci.bad-archive', `Cannot import the archive: ${quoted(name)} is missing in it`)
  }

  /** Reads a whole member of limited size. Throws `oci.limit`. */
  async readAll(member: ArchiveMember, limitBytes: number): Promise<Buffer> {
    if (member.sizeBytes > limitBytes) {
      throw new OciError(
        'oci.limit',
        `Cannot import the archive: ${quoted(member.name)} is larger than ${limitBytes} bytes`,
      )
    }
    return 'bytes' in member.content ? member.content.bytes : readFile(member.content.path)
  }

  /** The first bytes of a member, fewer where it is shorter. */
  async readHead(member: ArchiveMember, length: number): Promise<Buffer> {
    if ('bytes' in member.content) return member.content.bytes.subarray(0, length)
    const chunks: Buffer[] = []
    for await (const chunk of createReadStream(member.content.path, {
      end: length - 1,
      highWaterMark: CHUNK_BYTES,
    })) {
      chunks.push(chunk)
    }
    return Buffer.concat(chunks)
  }

  /** Makes a member a blob of the store. Throws `oci.digest-mismatch`, `oci.size-mismatch`. */
  async moveTo(blobs: BlobStore, member: ArchiveMember, expected: StoredBlob, what: string): Promise<void> {
    const { content } = member
    if ('bytes' in content) {
      await blobs.put(content.bytes, what, expected.digest)
    } else if (content.isBlob) {
      // Moved before, for another image; under another kind of digest it is a second blob.
      await blobs.ingest(what, expected, async (writer) => {
        for await (const chunk of createReadStream(content.path, { highWaterMark: CHUNK_BYTES }))
          await writer.write(chunk)
      })
    } else {
      await blobs.adopt(what, content.path, { digest: member.digest, size: member.sizeBytes }, expected)
      member.content = { path: blobs.pathOf(expected.digest), isBlob: true }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true })
  }
}
