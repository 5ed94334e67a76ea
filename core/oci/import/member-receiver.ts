// Takes the members of an archive from the tar parser. The parser calls at once and cannot wait, so what it says is noted
// and carried out by `flush`, in order.

import { type FileHandle, open } from 'node:fs/promises'
import path from 'node:path'
import { Digester } from '../digest.ts'
import { OciError } from '../errors.ts'
import { quoted } from '../layer/byte-string.ts'
import type { TarEntry } from '../layer/tar-entry.ts'
import type { TarHandler } from '../layer/tar-parser.ts'
import { LIMITS } from '../limits.ts'
import type { ArchiveMember } from './received-archive.ts'

/** Members up to this size stay in memory: manifests, configs, and the small files of old archives. */
const SMALL_BYTES = 64 * 1024
/** All small members together; beyond it they go into files too. */
const MEMORY_BYTES = 64 * 1024 * 1024

interface OpenMember {
  readonly name: string
  readonly sizeBytes: number
  readonly digester: Digester
  /** For a member in memory. */
  readonly chunks: Buffer[]
  /** For a member in a file. */
  readonly path: string | undefined
  handle?: FileHandle
}

export class MemberReceiver implements TarHandler, AsyncDisposable {
  readonly files = new Map<string, ArchiveMember>()
  readonly links = { symbolic: new Map<string, string>(), hard: new Map<string, string>() }
  readonly #folder: string
  #memoryBytes = 0
  #fileCount = 0
  #open: OpenMember | undefined
  readonly #handles = new Set<FileHandle>()
  #noted: { readonly member: OpenMember; readonly bytes: Buffer | 'end' }[] = []

  /** Files go into `folder`. */
  constructor(folder: string) {
    this.#folder = folder
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
    if (entry.type === 'file') this.#open = this.#newMember(name, entry.sizeBytes)
    else if (entry.type === 'hardlink') this.links.hard.set(name, memberName(entry.linkTarget))
    else if (entry.type === 'symlink') this.links.symbolic.set(name, memberName(entry.linkTarget, name))
  }

  data(chunk: Buffer): void {
    if (this.#open !== undefined) this.#noted.push({ member: this.#open, bytes: chunk })
  }

  hole(): void {
    throw new OciError('oci.bad-archive', 'Cannot import the archive: it stores a file with holes', {
      hint: 'Make the archive again without "--sparse".',
    })
  }

  end(): void {
    if (this.#open !== undefined) this.#noted.push({ member: this.#open, bytes: 'end' })
    this.#open = undefined
  }

  /** Carries out what was noted. */
  async flush(): Promise<void> {
    const noted = this.#noted
    this.#noted = []
    for (const { member, bytes } of noted) {
      if (bytes === 'end') await this.#finish(member)
      else await this.#append(member, bytes)
    }
  }

  /** Closes the files of members that did not come to their end. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const handle of this.#handles) await handle.close()
    this.#handles.clear()
  }

  #newMember(name: string, sizeBytes: number): OpenMember {
    const isSmall = sizeBytes <= SMALL_BYTES && this.#memoryBytes + sizeBytes <= MEMORY_BYTES
    if (isSmall) this.#memoryBytes += sizeBytes
    else this.#fileCount += 1
    const file = isSmall ? undefined : path.join(this.#folder, String(this.#fileCount))
    return { name, sizeBytes, digester: new Digester(), chunks: [], path: file }
  }

  async #append(member: OpenMember, bytes: Buffer): Promise<void> {
    member.digester.update(bytes)
    if (member.path === undefined) {
      // A copy: what the parser hands out is a piece of a larger buffer.
      member.chunks.push(Buffer.from(bytes))
      return
    }
    if (member.handle === undefined) {
      member.handle = await open(member.path, 'wx', 0o600)
      this.#handles.add(member.handle)
    }
    await member.handle.appendFile(bytes)
  }

  async #finish(member: OpenMember): Promise<void> {
    if (member.handle !== undefined) {
      this.#handles.delete(member.handle)
      await member.handle.close()
    }
    if (this.files.has(member.name)) {
      throw new OciError(
        'oci.bad-archive',
        `Cannot import the archive: ${quoted(member.name)} is in it twice`,
      )
    }
    const { name, sizeBytes, digester, chunks, path: file } = member
    const content = file === undefined ? { bytes: Buffer.concat(chunks) } : { path: file, isBlob: false }
    this.files.set(name, { name, sizeBytes, digest: digester.finish(), content })
  }
}

/** `./a//b/../c` as `a/c`, relative to the archive's root or to the folder of `base`. Throws `oci.bad-archive`. */
function memberName(name: string, base?: string): string {
  const parts = base === undefined || name.startsWith('/') ? [] : base.split('/').slice(0, -1)
  for (const part of name.split('/')) {
    if (part === '' || part === '.') continue
    if (part !== '..') parts.push(part)
    else if (parts.pop() === undefined) {
      throw new OciError('oci.bad-archive', `Cannot import the archive: ${quoted(name)} leads out of it`)
    }
  }
  return parts.join('/')
}
