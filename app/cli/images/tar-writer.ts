// A small tar writer for folders that hold an image: files and folders only, in the ustar format of POSIX 1003.1,
// with pax records for what does not fit into its fields.
import { createReadStream } from 'node:fs'
import { lstat, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { CliError } from '../failure.ts'

const blockBytes = 512

export interface TarEntry {
  /** Path in the archive. */
  readonly name: string
  readonly kind: 'file' | 'folder'
  /** Path on this machine. */
  readonly source: string
  readonly sizeBytes: number
  readonly modifiedAtSeconds: number
}

/**
 * What is in a folder, parents before children, small files of a folder before its folders: an image's index comes
 * before its blobs. Links are followed to files; anything else is refused.
 */
export async function listFolder(folder: string, prefix = ''): Promise<TarEntry[]> {
  const names = (await readdir(folder)).sort()
  const files: TarEntry[] = []
  const folders: TarEntry[] = []
  for (const name of names) {
    const source = join(folder, name)
    const isLink = (await lstat(source)).isSymbolicLink()
    const found = await stat(source)
    const entry = {
      name: `${prefix}${name}`,
      source,
      modifiedAtSeconds: Math.max(0, Math.floor(found.mtimeMs / 1000)),
    }
    if (found.isFile()) files.push({ ...entry, kind: 'file', sizeBytes: found.size })
    else if (found.isDirectory() && !isLink) {
      folders.push({ ...entry, name: `${entry.name}/`, kind: 'folder', sizeBytes: 0 })
      folders.push(...(await listFolder(source, `${entry.name}/`)))
    } else throw new CliError('cli.file', `Cannot import ${source}: it is neither a file nor a folder`)
  }
  return [...files, ...folders]
}

/** Bytes of the whole archive. */
export function tarSizeBytes(entries: readonly TarEntry[]): number {
  const sizes = entries.map((entry) => headersOf(entry).length + padded(entry.sizeBytes))
  return sizes.reduce((sum, size) => sum + size, 2 * blockBytes)
}

/** The archive, piece by piece. Fails where a file has changed its size since it was listed. */
export async function* writeTar(entries: readonly TarEntry[]): AsyncGenerator<Uint8Array> {
  for (const entry of entries) {
    yield headersOf(entry)
    if (entry.kind === 'file') yield* contentOf(entry)
  }
  yield new Uint8Array(2 * blockBytes)
}

async function* contentOf({ source, sizeBytes }: TarEntry): AsyncGenerator<Uint8Array> {
  let readBytes = 0
  if (sizeBytes > 0)
    for await (const chunk of createReadStream(source, { end: sizeBytes - 1, highWaterMark: 262144 })) {
      readBytes += (chunk as Buffer).length
      yield chunk as Buffer
    }
  if (readBytes !== sizeBytes)
    throw new CliError('cli.file', `Cannot import ${source}: it became shorter while it was read`)
  const padding = padded(sizeBytes) - sizeBytes
  if (padding > 0) yield new Uint8Array(padding)
}

function headersOf(entry: TarEntry): Uint8Array {
  const { name, kind, sizeBytes, modifiedAtSeconds } = entry
  const records: Record<string, string> = {}
  if (Buffer.byteLength(name) > nameField.length) records.path = name
  if (sizeBytes > largestUstarSize) records.size = String(sizeBytes)
  const own = header({ name, kind: kind === 'file' ? '0' : '5', sizeBytes, modifiedAtSeconds })
  if (Object.keys(records).length === 0) return own
  const pax = Buffer.from(
    Object.entries(records)
      .map(([key, value]) => paxRecord(key, value))
      .join(''),
  )
  const content = Buffer.alloc(padded(pax.length))
  pax.copy(content)
  return Buffer.concat([
    header({ name: 'pax', kind: 'x', sizeBytes: pax.length, modifiedAtSeconds }),
    content,
    own,
  ])
}

// POSIX 1003.1, pax, "ustar Interchange Format": offset and length of each field that we use.
const nameField = { at: 0, length: 100 }
const modeField = { at: 100, length: 8 }
const ownerField = { at: 108, length: 8 }
const groupField = { at: 116, length: 8 }
const sizeField = { at: 124, length: 12 }
const timeField = { at: 136, length: 12 }
const sumField = { at: 148, length: 8 }
const typeField = { at: 156, length: 1 }
const magicField = { at: 257, length: 8 }
const largestUstarSize = 0o77777777777

interface Header {
  readonly name: string
  readonly kind: '0' | '5' | 'x'
  readonly sizeBytes: number
  readonly modifiedAtSeconds: number
}

function header({ name, kind, sizeBytes, modifiedAtSeconds }: Header): Buffer {
  const block = Buffer.alloc(blockBytes)
  const octal = (field: { at: number; length: number }, value: number) =>
    block.write(value.toString(8).padStart(field.length - 1, '0'), field.at, 'latin1')
  Buffer.from(name).copy(block, nameField.at, 0, nameField.length)
  octal(modeField, kind === '5' ? 0o755 : 0o644)
  octal(ownerField, 0)
  octal(groupField, 0)
  octal(sizeField, sizeBytes > largestUstarSize ? 0 : sizeBytes)
  octal(timeField, modifiedAtSeconds)
  block.write(kind, typeField.at, 'latin1')
  block.write('ustar\x0000', magicField.at, 'latin1')
  block.fill(' ', sumField.at, sumField.at + sumField.length)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, sumField.at, 'latin1')
  return block
}

/** `LENGTH KEY=VALUE\n`, where LENGTH counts itself. */
function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`
  const restBytes = Buffer.byteLength(rest)
  let length = restBytes + String(restBytes).length
  length = restBytes + String(length).length
  return `${length}${rest}`
}

function padded(bytes: number): number {
  return Math.ceil(bytes / blockBytes) * blockBytes
}
