// Writes initrds: cpio archives in the "newc" format that the Linux kernel unpacks into its first file
// system. The same entries give the same bytes. Source: Linux
// Documentation/driver-api/early-userspace/buffer-format.rst.

import { readFile } from 'node:fs/promises'
import { KernelError } from './kernel-error.ts'

interface EntryBase {
  /** Without a leading slash; missing parent folders are added with mode 0755. */
  readonly path: string
}

/** What goes into an initrd; `mode` is the permission bits. */
export type InitrdEntry =
  | (EntryBase & { readonly kind: 'directory'; readonly mode: number })
  | (EntryBase & { readonly kind: 'file'; readonly mode: number; readonly data: Uint8Array | string })
  /** The content of a file of this machine. */
  | (EntryBase & { readonly kind: 'file'; readonly mode: number; readonly file: string })
  | (EntryBase & { readonly kind: 'link'; readonly target: string })
  | (EntryBase & {
      readonly kind: 'character-device'
      readonly mode: number
      readonly major: number
      readonly minor: number
    })

const FILE_TYPE = {
  directory: 0o040000,
  file: 0o100000,
  link: 0o120000,
  'character-device': 0o020000,
} as const
/** Archives are padded to this, so that the next one in a concatenation begins aligned. */
const ARCHIVE_BLOCK_BYTES = 512
/** The size field has 8 hexadecimal digits. */
const MAX_FILE_BYTES = 0xffffffff

/** The archive's bytes. Entries keep their order; a path may appear once. Throws `kernel.initrd-entry`. */
export async function makeInitrd(entries: readonly InitrdEntry[]): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = []
  const seen = new Set<string>()
  const add = async (entry: InitrdEntry) => {
    seen.add(entry.path)
    const content = await contentOf(entry)
    parts.push(record(entry, content, seen.size), ...padded(content))
  }
  for (const entry of entries) {
    checkPath(entry.path, seen)
    for (const parent of parentsOf(entry.path)) {
      if (!seen.has(parent)) await add({ kind: 'directory', path: parent, mode: 0o755 })
    }
    await add(entry)
  }
  parts.push(trailer())
  const sizeBytes = parts.reduce((sum, part) => sum + part.length, 0)
  const archive = new Uint8Array(Math.ceil(sizeBytes / ARCHIVE_BLOCK_BYTES) * ARCHIVE_BLOCK_BYTES)
  let offset = 0
  for (const part of parts) {
    archive.set(part, offset)
    offset += part.length
  }
  return archive
}

async function contentOf(entry: InitrdEntry): Promise<Uint8Array> {
  switch (entry.kind) {
    case 'directory':
    case 'character-device':
      return new Uint8Array()
    case 'link':
      return Buffer.from(entry.target)
    case 'file': {
      const content = 'file' in entry ? await readFile(entry.file) : Buffer.from(entry.data)
      if (content.length > MAX_FILE_BYTES)
        throw badEntry(entry.path, `it has ${content.length} bytes, the limit is ${MAX_FILE_BYTES}`)
      return content
    }
  }
}

function record(entry: InitrdEntry, content: Uint8Array, inode: number): Uint8Array {
  const isDevice = entry.kind === 'character-device'
  return header({
    inode,
    mode: FILE_TYPE[entry.kind] | (entry.kind === 'link' ? 0o777 : entry.mode & 0o7777),
    links: entry.kind === 'directory' ? 2 : 1,
    sizeBytes: content.length,
    major: isDevice ? entry.major : 0,
    minor: isDevice ? entry.minor : 0,
    name: entry.path,
  })
}

function trailer(): Uint8Array {
  return header({ inode: 0, mode: 0, links: 1, sizeBytes: 0, major: 0, minor: 0, name: 'TRAILER!!!' })
}

interface HeaderFields {
  readonly inode: number
  readonly mode: number
  readonly links: number
  readonly sizeBytes: number
  readonly major: number
  readonly minor: number
  readonly name: string
}

/** Magic, 13 fields of 8 hexadecimal digits, the name with its NUL, padding to 4. Owner root, time 0. */
function header(fields: HeaderFields): Uint8Array {
  const name = Buffer.from(`${fields.name}\0`)
  const numbers = [
    fields.inode,
    fields.mode,
    0,
    0,
    fields.links,
    0,
    fields.sizeBytes,
    0,
    0,
    fields.major,
    fields.minor,
    name.length,
    0,
  ]
  const text = `070701${numbers.map((number) => number.toString(16).padStart(8, '0')).join('')}`
  return Buffer.concat(padded(Buffer.concat([Buffer.from(text, 'latin1'), name])))
}

function padded(bytes: Uint8Array): Uint8Array[] {
  return [bytes, new Uint8Array(-bytes.length & 3)]
}

function parentsOf(path: string): string[] {
  const names = path.split('/')
  return names.slice(1).map((_, index) => names.slice(0, index + 1).join('/'))
}

function checkPath(path: string, seen: ReadonlySet<string>): void {
  if (path.split('/').some((name) => name === '' || name === '.' || name === '..') || path.includes('\0')) {
    throw badEntry(path, 'the path is not a plain relative one')
  }
  if (seen.has(path)) throw badEntry(path, 'the path appears twice')
}

function badEntry(path: string, reason: string): KernelError {
  return new KernelError('initrd-entry', `Cannot put ${JSON.stringify(path)} into an initrd: ${reason}`)
}
