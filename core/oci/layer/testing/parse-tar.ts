// Parses a whole archive for tests: each entry with its content, holes filled in.

import type { TarEntry } from '../tar-entry.ts'
import { TarParser } from '../tar-parser.ts'

export interface ParsedEntry extends TarEntry {
  readonly content: Buffer
}

/** Feeds the archive to a parser in pieces of `pieceBytes` and collects what comes out. */
export function parseTar(archive: Buffer, pieceBytes = archive.length): ParsedEntry[] {
  const parsed: ParsedEntry[] = []
  const files: TarEntry[] = []
  let pieces: Buffer[] = []
  const parser = new TarParser('layer 1', {
    entry(entry) {
      if (entry.type === 'file') files.push(entry)
      else parsed.push({ ...entry, content: Buffer.alloc(0) })
    },
    data: (chunk) => pieces.push(Buffer.from(chunk)),
    hole: (sizeBytes) => pieces.push(Buffer.alloc(sizeBytes)),
    end() {
      const entry = files.pop()
      if (entry === undefined) throw new Error('end() without entry()')
      parsed.push({ ...entry, content: Buffer.concat(pieces) })
      pieces = []
    },
  })
  for (let offset = 0; offset < archive.length; offset += pieceBytes)
    parser.write(archive.subarray(offset, offset + pieceBytes))
  parser.finish()
  if (files.length > 0) throw new Error('a file was announced and never ended')
  return parsed
}
