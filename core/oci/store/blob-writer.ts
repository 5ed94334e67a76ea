// Takes the bytes of one blob into the store: hashed and counted as they come, and given their place under `blobs/`
// only when both size and digest are right. Until then they are a file in `ingest/` that nobody reads.

import { type FileHandle, open, rm } from 'node:fs/promises'
import { commitFile } from '../../durable-file.ts'
import { type Digest, type DigestAlgorithm, Digester, digestAlgorithm, requireSameDigest } from '../digest.ts'
import { fromDiskError, OciError } from '../errors.ts'
import { LIMITS } from '../limits.ts'

/** What is known of a blob before its bytes come. */
export interface ExpectedBlob {
  readonly digest?: Digest | undefined
  readonly size?: number | undefined
}

export interface BlobPlaces {
  /** The file that takes the bytes. */
  readonly temporary: string
  /** Where a finished blob belongs. */
  readonly final: (digest: Digest) => string
}

export class BlobWriter implements AsyncDisposable {
  /** Names the blob in errors, e.g. `layer sha256:…`. */
  readonly what: string
  readonly #expected: ExpectedBlob
  readonly #algorithm: DigestAlgorithm
  readonly #places: BlobPlaces
  readonly #onProgress: (sizeBytes: number) => void
  readonly #handle: FileHandle
  #digester: Digester
  #sizeBytes = 0
  #isCommitted = false

  private constructor(
    what: string,
    expected: ExpectedBlob,
    handle: FileHandle,
    { places, onProgress }: { places: BlobPlaces; onProgress: (sizeBytes: number) => void },
  ) {
    this.what = what
    this.#expected = expected
    this.#algorithm = expected.digest === undefined ? 'sha256' : digestAlgorithm(expected.digest)
    this.#digester = new Digester(this.#algorithm)
    this.#handle = handle
    this.#places = places
    this.#onProgress = onProgress
  }

  /** Starts a blob. `onProgress` is told the bytes taken so far after each write. */
  static async open(
    what: string,
    expected: ExpectedBlob,
    places: BlobPlaces,
    onProgress: (sizeBytes: number) => void = () => {},
  ): Promise<BlobWriter> {
    const handle = await open(places.temporary, 'wx', 0o600)
    return new BlobWriter(what, expected, handle, { places, onProgress })
  }

  /** Bytes taken so far. */
  get sizeBytes(): number {
    return this.#sizeBytes
  }

  /** Appends bytes. Throws `oci.size-mismatch` as soon as there are more than there may be, `oci.no-space`. */
  async write(bytes: Uint8Array): Promise<void> {
    const { size } = this.#expected
    const end = this.#sizeBytes + bytes.length
    if (size !== undefined && end > size) {
      throw new OciError(
        'oci.size-mismatch',
        `Cannot accept ${this.what}: it has more than the ${size} bytes announced`,
      )
    }
    if (end > LIMITS.blobBytes) {
      throw new OciError(
        'oci.limit',
        `Cannot accept ${this.what}: it is larger than ${LIMITS.blobBytes} bytes`,
        {
          data: { which: 'blobBytes' },
        },
      )
    }
    this.#digester.update(bytes)
    try {
      await writeFully(this.#handle, bytes, this.#sizeBytes)
    } catch (error) {
      throw fromDiskError(`store ${this.what}`, error)
    }
    this.#sizeBytes = end
    this.#onProgress(end)
  }

  /** Forgets the bytes taken so far: the source starts again at the beginning. */
  async restart(): Promise<void> {
    await this.#handle.truncate(0)
    this.#digester = new Digester(this.#algorithm)
    this.#sizeBytes = 0
    this.#onProgress(0)
  }

  /** Checks size and digest and gives the blob its place. Throws `oci.size-mismatch`, `oci.digest-mismatch`. */
  async commit(): Promise<{ digest: Digest; size: number }> {
    const { digest: expected, size } = this.#expected
    if (size !== undefined && size !== this.#sizeBytes) {
      throw new OciError(
        'oci.size-mismatch',
        `Cannot accept ${this.what}: it ended after ${this.#sizeBytes} of ${size} bytes`,
      )
    }
    const digest = this.#digester.finish()
    if (expected !== undefined) requireSameDigest(this.what, expected, digest)
    try {
      await commitFile(this.#handle, this.#places.temporary, this.#places.final(digest), 0o444)
    } catch (error) {
      throw fromDiskError(`store ${this.what}`, error)
    }
    this.#isCommitted = true
    return { digest, size: this.#sizeBytes }
  }

  /** Closes the file; what was not committed is removed. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close()
    if (!this.#isCommitted) await rm(this.#places.temporary, { force: true })
  }
}

async function writeFully(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  let written = 0
  while (written < bytes.length) {
    const { bytesWritten } = await handle.write(bytes, written, bytes.length - written, position + written)
    written += bytesWritten
  }
}
