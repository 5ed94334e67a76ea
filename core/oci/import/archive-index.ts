// An image archive in a file, with its members found by name. Members are only ever looked up: their names never
// become paths on this machine.

import { createReadStream } from 'node:fs'
import { hasCode, OciError, throwIfCancelled } from '../errors.ts'
import { quoted } from '../layer/byte-string.ts'
import type { TarEntry } from '../layer/tar-entry.ts'
import { type TarHandler, TarParser } from '../layer/tar-parser.ts'
import { LIMITS } from '../limits.ts'

/** A file in the archive: where its bytes are in the archive's file. */
export interface ArchiveMember {
  readonly name: string
  readonly offset: number
  readonly sizeBytes: number
}

const CHUNK_BYTES = 1024 * 1024

export class ArchiveIndex {
  readonly #path: string
  readonly #files: ReadonlyMap<string, ArchiveMember>
  /** Symbolic and hard links to files, as `docker save` writes them for layers that images share. */
  readonly #links: ReadonlyMap<string, string>

  private constructor(path: string, collector: MemberCollector) {
    this.#path = path
    this.#files = collector.files
    this.#links = collector.links
  }

  /** Reads the headers of the tar file at `path`. Throws `oci.bad-archive`, `oci.limit`, `oci.cancelled`. */
  static async read(
    path: string,
    {
      signal,
      onProgress,
    }: { signal?: AbortSignal | undefined; onProgress?: (bytesDone: number) => void } = {},
  ): Promise<ArchiveIndex> {
    const collector = new MemberCollector()
    const parser = new TarParser('the archive', collector)
    try {
      for await (const chunk of createReadStream(path, { highWaterMark: CHUNK_BYTES })) {
        throwIfCancelled(signal, 'read the archive')
        collector.beginChunk(chunk)
        parser.write(chunk)
        onProgress?.(collector.endOfChunk)
      }
      parser.finish()
    } catch (error) {
      throw asArchiveError(error)
    }
    return new ArchiveIndex(path, collector)
  }

  /** Names of the regular files, e.g. to find where a layout begins. */
  get names(): Iterable<string> {
    return this.#files.keys()
  }

  /** A file, or the one that a link of this name leads to in one step. */
  find(name: string): ArchiveMember | undefined {
    const target = this.#links.get(name)
    return this.#files.get(target ?? name)
  }

  /** Like `find`, for a member that has to be there. Throws `oci.bad-archive`. */
  require(name: string): ArchiveMember {
    const member = this.find(name)
    if (member === undefined)
      throw new OciError('oci.bad-archive', `Cannot import the archive: ${quoted(name)} is missing in it`)
    return member
  }

  /** Reads a whole member of limited size. Throws `oci.limit`. */
  async readAll(member: ArchiveMember, limitBytes: number): Promise<Buffer> {
    if (member.sizeBytes > limitBytes) {
      throw new OciError(
        'oci.limit',
        `Cannot import the archive: ${quoted(member.name)} is larger than ${limitBytes} bytes`,
      )
    }
    const chunks: Buffer[] = []
    for await (const chunk of this.stream(member)) chunks.push(chunk)
    return Buffer.concat(chunks)
  }

  /** The bytes of a member, or of its first `length` bytes. */
  async *stream(member: ArchiveMember, length = member.sizeBytes): AsyncGenerator<Buffer, void, void> {
    const wanted = Math.min(length, member.sizeBytes)
    if (wanted === 0) return
    const { offset } = member
    yield* createReadStream(this.#path, {
      start: offset,
      end: offset + wanted - 1,
      highWaterMark: CHUNK_BYTES,
    })
  }
}

/** Notes where each file's bytes begin. The parser's chunks share memory with ours, which tells the position. */
class MemberCollector implements TarHandler {
  readonly files = new Map<string, ArchiveMember>()
  readonly links = new Map<string, string>()
  #chunk: Buffer = Buffer.alloc(0)
  #chunkOffset = 0
  #open: { name: string; sizeBytes: number; offset: number | undefined } | undefined

  beginChunk(chunk: Buffer): void {
    this.#chunkOffset += this.#chunk.length
    this.#chunk = chunk
  }

  get endOfChunk(): number {
    return this.#chunkOffset + this.#chunk.length
  }

  entry(entry: TarEntry): void {
    if (entry.ordinal >= LIMITS.archiveMembers) {
      throw new OciError(
        'oci.limit',
        `Cannot import the archive: it has more than ${LIMITS.archiveMembers} members`,
        {
          data: { which: 'archiveMembers' },
        },
      )
    }
    const name = memberName(entry.path)
    if (entry.type === 'file') this.#open = { name, sizeBytes: entry.sizeBytes, offset: undefined }
    else if (entry.type === 'hardlink') this.links.set(name, memberName(entry.linkTarget))
    else if (entry.type === 'symlink') this.links.set(name, memberName(entry.linkTarget, name))
  }

  data(chunk: Buffer): void {
    if (this.#open === undefined) return
    this.#open.offset ??= this.#chunkOffset + (chunk.byteOffset - this.#chunk.byteOffset)
  }

  hole(): void {
    throw new OciError('oci.bad-archive', 'Cannot import the archive: it stores a file with holes', {
      hint: 'Make the archive again without "--sparse".',
    })
  }

  end(): void {
    const open = this.#open
    if (open === undefined) return
    this.#open = undefined
    if (this.files.has(open.name)) {
      throw new OciError('oci.bad-archive', `Cannot import the archive: ${quoted(open.name)} is in it twice`)
    }
    this.files.set(open.name, { name: open.name, offset: open.offset ?? 0, sizeBytes: open.sizeBytes })
  }
}

/** `./a//b/../c` as `a/c`, relative to the archive's root or to the folder of `base`. Throws `oci.bad-archive`. */
function memberName(path: string, base?: string): string {
  const start = base === undefined || path.startsWith('/') ? [] : base.split('/').slice(0, -1)
  const parts = [...start]
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue
    if (part !== '..') parts.push(part)
    else if (parts.pop() === undefined) {
      throw new OciError('oci.bad-archive', `Cannot import the archive: ${quoted(path)} leads out of it`)
    }
  }
  return parts.join('/')
}

/** The tar parser speaks of layers; an archive that is no tar file at all deserves a hint. */
function asArchiveError(error: unknown): unknown {
  if (!(error instanceof OciError) || !hasCode(error, 'oci.corrupt-layer')) return error
  return new OciError('oci.bad-archive', error.message, {
    hint: 'An image archive is made by "docker save", "podman save" or "skopeo copy … oci-archive:FILE".',
    data: error.data,
    cause: error,
  })
}
