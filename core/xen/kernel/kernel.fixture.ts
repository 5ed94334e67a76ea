// Builds small kernels for tests: ELF files with Xen notes, and bzImages around payloads that the real
// compressors made.

import { execFileSync } from 'node:child_process'

export interface FixtureNote {
  readonly type: number
  /** Text gets a NUL; numbers are written in 4 or 8 bytes. */
  readonly value: string | { readonly number: bigint; readonly sizeBytes: 4 | 8 }
}

export interface FixtureSegment {
  readonly physicalAddress: bigint
  readonly data: Uint8Array
  readonly memorySize?: number
}

export interface FixtureElf {
  readonly segments: readonly FixtureSegment[]
  readonly notes: readonly FixtureNote[]
  readonly notesIn?: 'segment' | 'section'
}

/** The notes of a Debian 6.1 kernel. */
export const DEBIAN_NOTES: readonly FixtureNote[] = [
  { type: 6, value: 'linux' },
  { type: 7, value: '2.6' },
  { type: 5, value: 'xen-3.0' },
  { type: 3, value: { number: 0xffffffff80000000n, sizeBytes: 8 } },
  { type: 15, value: { number: 0x8000000000n, sizeBytes: 8 } },
  { type: 1, value: { number: 0xffffffff81000100n, sizeBytes: 8 } },
  { type: 10, value: '!writable_page_tables|pae_pgdir_above_4gb' },
  { type: 17, value: { number: 0x8801n, sizeBytes: 4 } },
  { type: 8, value: 'generic' },
  { type: 14, value: { number: 1n, sizeBytes: 4 } },
  { type: 16, value: { number: 1n, sizeBytes: 4 } },
  { type: 4, value: { number: 0n, sizeBytes: 8 } },
  { type: 18, value: { number: 0x1000850n, sizeBytes: 4 } },
]

export function makeElf(fixture: FixtureElf): Uint8Array<ArrayBuffer> {
  const notes = Buffer.concat(fixture.notes.map(encodeNote))
  const inSection = fixture.notesIn === 'section'
  const programCount = fixture.segments.length + (inSection ? 0 : 1)
  const notesOffset = 64 + programCount * 56
  const sectionOffset = notesOffset + notes.length
  let offset = sectionOffset + (inSection ? 64 : 0)
  const header = Buffer.alloc(64)
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
  header.writeUInt16LE(2, 16)
  header.writeUInt16LE(62, 18)
  header.writeBigUInt64LE(0x1000000n, 24)
  header.writeBigUInt64LE(64n, 32)
  header.writeBigUInt64LE(inSection ? BigInt(sectionOffset) : 0n, 40)
  header.writeUInt16LE(56, 54)
  header.writeUInt16LE(programCount, 56)
  header.writeUInt16LE(64, 58)
  header.writeUInt16LE(inSection ? 1 : 0, 60)

  const programs = fixture.segments.map((segment) => {
    const program = encodeProgram(1, offset, segment.data.length, segment.physicalAddress, segment.memorySize)
    offset += segment.data.length
    return program
  })
  if (!inSection) programs.push(encodeProgram(4, notesOffset, notes.length, 0n))
  const sections = inSection ? [encodeNoteSection(notesOffset, notes.length)] : []
  const data = fixture.segments.map((segment) => segment.data)
  return new Uint8Array(Buffer.concat([header, ...programs, notes, ...sections, ...data]))
}

/** A 64 KiB kernel with Debian's notes and reproducible content that compresses somewhat. */
export function makeSmallKernel(sizeBytes = 65536): Uint8Array<ArrayBuffer> {
  const data = new Uint8Array(sizeBytes)
  let state = 1
  for (let index = 0; index < sizeBytes; index++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    data[index] = index % 64 < 40 ? index >> 6 : state >>> 24
  }
  return makeElf({
    segments: [{ physicalAddress: 0x1000000n, data, memorySize: sizeBytes + 8192 }],
    notes: DEBIAN_NOTES,
  })
}

/**
 * Wraps a payload as a bzImage does: boot sector, setup code, then the payload some way into the kernel
 * proper.
 */
export function makeBzImage(payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const setupSectors = 5
  const payloadOffset = 720
  const head = Buffer.alloc((setupSectors + 1) * 512 + payloadOffset)
  head[0x1f1] = setupSectors
  head.write('HdrS', 0x202, 'latin1')
  head.writeUInt16LE(0x020f, 0x206)
  head.writeUInt32LE(payloadOffset, 0x248)
  head.writeUInt32LE(payload.length, 0x24c)
  return new Uint8Array(Buffer.concat([head, payload, Buffer.alloc(300)]))
}

/** Runs one of the real compressors the way Linux' scripts/Makefile.lib does. */
export const compressors: Readonly<
  Record<'gzip' | 'xz' | 'zstd' | 'lz4' | 'lzma', (input: Uint8Array) => Buffer>
> = {
  gzip: (input) => run('gzip', ['-n', '-9', '-c'], input),
  xz: (input) => run('xz', ['--check=crc32', '--x86', '--lzma2=dict=32MiB', '-c'], input),
  zstd: (input) => run('zstd', ['-22', '--ultra', '-c', '-q'], input),
  lz4: (input) => run('lz4', ['-l', '-9', '-c', '-q'], input),
  lzma: (input) => run('xz', ['--format=lzma', '-9', '-c'], input),
}

/** What the kernel build appends to a payload: its uncompressed size, or whatever a hostile one claims. */
export function sizeTrailer(sizeBytes: number): Buffer {
  const trailer = Buffer.alloc(4)
  trailer.writeUInt32LE(sizeBytes)
  return trailer
}

function run(command: string, parameters: readonly string[], input: Uint8Array): Buffer {
  return execFileSync(command, parameters, { input, maxBuffer: 1 << 30, stdio: ['pipe', 'pipe', 'inherit'] })
}

function encodeNote(note: FixtureNote): Buffer {
  const data =
    typeof note.value === 'string'
      ? Buffer.from(`${note.value}\0`)
      : numberBytes(note.value.number, note.value.sizeBytes)
  const header = Buffer.alloc(12)
  header.writeUInt32LE(4, 0)
  header.writeUInt32LE(data.length, 4)
  header.writeUInt32LE(note.type, 8)
  return Buffer.concat([header, Buffer.from('Xen\0'), data, Buffer.alloc(-data.length & 3)])
}

function numberBytes(number: bigint, sizeBytes: 4 | 8): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(number)
  return bytes.subarray(0, sizeBytes)
}

function encodeProgram(
  type: number,
  offset: number,
  fileSize: number,
  physicalAddress: bigint,
  memorySize = fileSize,
): Buffer {
  const program = Buffer.alloc(56)
  program.writeUInt32LE(type, 0)
  program.writeBigUInt64LE(BigInt(offset), 8)
  program.writeBigUInt64LE(physicalAddress, 24)
  program.writeBigUInt64LE(BigInt(fileSize), 32)
  program.writeBigUInt64LE(BigInt(memorySize), 40)
  program.writeBigUInt64LE(4n, 48)
  return program
}

function encodeNoteSection(offset: number, sizeBytes: number): Buffer {
  const section = Buffer.alloc(64)
  section.writeUInt32LE(7, 4)
  section.writeBigUInt64LE(BigInt(offset), 24)
  section.writeBigUInt64LE(BigInt(sizeBytes), 32)
  section.writeBigUInt64LE(4n, 48)
  return section
}
